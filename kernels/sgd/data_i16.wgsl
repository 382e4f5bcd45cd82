// The data set's format: 16-bit fixed point, rounded to nearest.
alias DataFour = I16x4;

fn decode_data(stored: DataFour) -> vec4<f32> {
    return i16x4_decode(stored);
}

fn encode_data(v: vec4<f32>) -> DataFour {
    return i16x4_encode(integers_nearest(v, I16_LIMIT));
}
