// The model's format: f16, updates rounded to nearest.
alias ModelFour = F16x4;

fn decode_model(stored: ModelFour) -> vec4<f32> {
    return f16x4_decode(stored);
}

// What is stored for v, the coordinates of `group` of `output`.
fn encode_model(v: vec4<f32>, output: u32, group: u32) -> ModelFour {
    return f16x4_encode(f16x4_nearest(v));
}
