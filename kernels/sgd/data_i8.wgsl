// The data set's format: 8-bit fixed point, rounded to nearest.
alias DataFour = I8x4;

fn decode_data(stored: DataFour) -> vec4<f32> {
    return i8x4_decode(stored);
}

fn encode_data(v: vec4<f32>) -> DataFour {
    return i8x4_encode(integers_nearest(v, I8_LIMIT));
}
