// The model's format: f32.
alias ModelFour = F32x4;

fn decode_model(stored: ModelFour) -> vec4<f32> {
    return stored;
}

// What is stored for v, the coordinates of `group` of `output`.
fn encode_model(v: vec4<f32>, output: u32, group: u32) -> ModelFour {
    return v;
}
