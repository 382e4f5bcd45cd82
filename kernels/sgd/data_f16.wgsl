// The data set's format: f16, rounded to nearest.
alias DataFour = F16x4;

fn decode_data(stored: DataFour) -> vec4<f32> {
    return f16x4_decode(stored);
}

fn encode_data(v: vec4<f32>) -> DataFour {
    return f16x4_encode(f16x4_nearest(v));
}
