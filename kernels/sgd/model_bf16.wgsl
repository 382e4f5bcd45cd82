// The model's format: bf16, updates rounded to nearest.
alias ModelFour = Bf16x4;

fn decode_model(stored: ModelFour) -> vec4<f32> {
    return bf16x4_decode(stored);
}

// What is stored for v, the coordinates of `group` of `output`.
fn encode_model(v: vec4<f32>, output: u32, group: u32) -> ModelFour {
    return bf16x4_nearest(v);
}
