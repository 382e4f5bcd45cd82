// Four 8-bit integers of magnitude at most 127 in one word, the first in the low byte.
// Needs integers.wgsl.
alias I8x4 = u32;

const I8_LIMIT: i32 = 127;

fn i8x4_decode(word: I8x4) -> vec4<f32> {
    return vec4<f32>(unpack4xI8(word));
}

fn i8x4_encode(v: vec4<i32>) -> I8x4 {
    return pack4xI8(v);
}
