// Inner products of rows with the model's offset from the centre, as chains of f32 fma.

alias Partial = f32;

// As in dot_f32.wgsl.
fn lane_dot(row: u32, output: u32, lane: u32) -> Partial {
    var sum = vec4<f32>();
    for (var group = lane; group < GROUPS; group += LANES) {
        sum = fma(load_x4(row, group), load_offset4(output, group), sum);
    }
    return (sum.x + sum.y) + (sum.z + sum.w);
}
