// Sums over rows of a minibatch of residual times data.

@group(0) @binding(3) var<storage, read> residuals: array<f32>; // batch x OUTPUTS

// Over positions first … end - 1 of the minibatch, in order, for the coordinates of one group.
fn sum_rows(first: u32, end: u32, output: u32, group: u32) -> vec4<f32> {
    var sum = vec4<f32>();
    for (var p = first; p < end; p++) {
        sum = fma(vec4<f32>(residuals[p * OUTPUTS + output]), load_x4(row_at(p), group), sum);
    }
    return sum;
}
