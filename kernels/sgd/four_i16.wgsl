// Four 16-bit integers of magnitude at most 32,767 in two words, the first in the low half.
// Needs integers.wgsl.
alias I16x4 = vec2<u32>;

const I16_LIMIT: i32 = 32767;

fn i16x4_decode(words: I16x4) -> vec4<f32> {
    let even = bitcast<vec2<i32>>(words << vec2<u32>(16u)) >> vec2<u32>(16u);
    let odd = bitcast<vec2<i32>>(words) >> vec2<u32>(16u);
    return vec4<f32>(vec4<i32>(even.x, odd.x, even.y, odd.y));
}

fn i16x4_encode(v: vec4<i32>) -> I16x4 {
    let bits = bitcast<vec4<u32>>(v) & vec4<u32>(0xffffu);
    return bits.xz | (bits.yw << vec2<u32>(16u));
}
