// The data set's format: f32.
alias DataFour = F32x4;

fn decode_data(stored: DataFour) -> vec4<f32> {
    return stored;
}

fn encode_data(v: vec4<f32>) -> DataFour {
    return v;
}
