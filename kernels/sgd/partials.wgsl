// Sums of partial gradients.

// count x OUTPUTS x GROUPS
@group(0) @binding(5) var<storage, read> partials: array<vec4<f32>>;

// Partials first … end - 1 of one entry (output and group), in order.
fn sum_partials(first: u32, end: u32, entry: u32) -> vec4<f32> {
    let stride = OUTPUTS * GROUPS;
    var sum = partials[first * stride + entry];
    for (var i = first + 1u; i < end; i++) {
        sum += partials[i * stride + entry];
    }
    return sum;
}
