// The model's format: 4-bit fixed point, updates rounded stochastically. A number takes a byte, since
// two threads that update neighbours must not share a word.
alias ModelFour = I8x4;

const I4_MODEL_LIMIT: i32 = 7;

fn decode_model(stored: ModelFour) -> vec4<f32> {
    return i8x4_decode(stored);
}

// What is stored for v, the coordinates of `group` of `output`.
fn encode_model(v: vec4<f32>, output: u32, group: u32) -> ModelFour {
    return i8x4_encode(integers_stochastic(v, model_random(output, group), I4_MODEL_LIMIT));
}
