// Four bf16 numbers in two words, the first in the low half: the upper half of an f32 is its bf16.
// Needs shared/rounding.wgsl.
alias Bf16x4 = vec2<u32>;

fn bf16x4_decode(words: Bf16x4) -> vec4<f32> {
    let low = words << vec2<u32>(16u);
    let high = words & vec2<u32>(0xffff0000u);
    return bitcast<vec4<f32>>(vec4<u32>(low.x, high.x, low.y, high.y));
}

fn bf16x4_join(v: vec4<u32>) -> Bf16x4 {
    return v.xz | (v.yw << vec2<u32>(16u));
}

fn bf16x4_nearest(v: vec4<f32>) -> Bf16x4 {
    let bits = vec4<u32>(bf16_nearest(v.x), bf16_nearest(v.y), bf16_nearest(v.z), bf16_nearest(v.w));
    return bf16x4_join(bits & vec4<u32>(0xffffu));
}

// The magnitude goes up where the 16 random bits are below the 16 that are dropped.
fn bf16x4_stochastic(v: vec4<f32>, random: vec4<u32>) -> Bf16x4 {
    let bits = bitcast<vec4<u32>>(v);
    let up = select(vec4<u32>(), vec4<u32>(1u), random < (bits & vec4<u32>(0xffffu)));
    let rounded = (bits >> vec4<u32>(16u)) + up;
    let nan = ((bits >> vec4<u32>(16u)) & vec4<u32>(0x8000u)) | vec4<u32>(0x7fc0u);
    let is_nan = (bits & vec4<u32>(~SIGN_BIT)) > vec4<u32>(INFINITY_BITS);
    return bf16x4_join(select(rounded, nan, is_nan));
}
