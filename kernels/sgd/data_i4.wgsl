// The data set's format: 4-bit fixed point, rounded to nearest. Eight numbers are packed to a word;
// once loaded they are 8-bit integers, four to a word.
alias DataFour = I8x4;

const I4_LIMIT: i32 = 7;

fn decode_data(stored: DataFour) -> vec4<f32> {
    return i8x4_decode(stored);
}

fn encode_data(v: vec4<f32>) -> DataFour {
    return i8x4_encode(integers_nearest(v, I4_LIMIT));
}

// Four bytes to the low half of a word, the first in its lowest bits.
fn nibbles_of(bytes: I8x4) -> u32 {
    let low = bytes & 0x0f0f0f0fu;
    let pairs = low | (low >> 4u);
    return (pairs & 0xffu) | ((pairs >> 8u) & 0xff00u);
}

// The low half of a word to four bytes, each with the sign of its four bits.
fn bytes_of(nibbles: u32) -> I8x4 {
    let pairs = (nibbles & 0xffu) | ((nibbles & 0xff00u) << 8u);
    let low = (pairs | (pairs << 4u)) & 0x0f0f0f0fu;
    return low | ((low & 0x08080808u) * 0x1eu);
}
