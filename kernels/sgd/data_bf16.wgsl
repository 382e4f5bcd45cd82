// The data set's format: bf16, rounded to nearest.
alias DataFour = Bf16x4;

fn decode_data(stored: DataFour) -> vec4<f32> {
    return bf16x4_decode(stored);
}

fn encode_data(v: vec4<f32>) -> DataFour {
    return bf16x4_nearest(v);
}
