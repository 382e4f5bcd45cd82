// The model's format: 16-bit fixed point, updates rounded to nearest.
alias ModelFour = I16x4;

fn decode_model(stored: ModelFour) -> vec4<f32> {
    return i16x4_decode(stored);
}

// What is stored for v, the coordinates of `group` of `output`.
fn encode_model(v: vec4<f32>, output: u32, group: u32) -> ModelFour {
    return i16x4_encode(integers_nearest(v, I16_LIMIT));
}
