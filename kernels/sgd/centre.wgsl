// What the host gives the steps of variance-reduced SGD (LP-SVRG, HALP) between two full gradients, in
// units of the model's grid step delta, which the host may change with each:
// the centre where the model is kept on a fixed grid, and 0 where it is kept as an offset from the
// centre (OUTPUTS x GROUPS); alpha/delta times the full gradient at the centre, as many; delta.
@group(0) @binding(7) var<storage, read> centre: array<vec4<f32>>;

// The model less the centre, coordinates 4 group … 4 group + 3 of an output: whole numbers.
fn load_offset4(output: u32, group: u32) -> vec4<f32> {
    return load_w4(output, group) - centre[output * GROUPS + group];
}

fn grid_step() -> f32 {
    return centre[2u * OUTPUTS * GROUPS].x;
}
