// The model W: OUTPUTS rows of GROUPS fours, row-major. One thread updates four coordinates of one
// output, so that no two threads share a word.
// Needs a model_*.wgsl, which gives ModelFour, decode_model and encode_model.

@group(0) @binding(4) var<storage, read_write> model: array<ModelFour>;

// Coordinates 4 group … 4 group + 3 of an output.
fn load_w4(output: u32, group: u32) -> vec4<f32> {
    return decode_model(model[output * GROUPS + group]);
}
