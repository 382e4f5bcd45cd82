// Inner products of rows with the model as chains of f32 fma on the decoded numbers.

alias Partial = f32;

// Lane `lane` of LANES sums groups lane, lane + LANES, … in order, then its four components.
fn lane_dot(row: u32, output: u32, lane: u32) -> Partial {
    var sum = vec4<f32>();
    for (var group = lane; group < GROUPS; group += LANES) {
        sum = fma(load_x4(row, group), load_w4(output, group), sum);
    }
    return (sum.x + sum.y) + (sum.z + sum.w);
}
