// Four f16 numbers in two words, the first in the low half. Needs shared/rounding.wgsl.
alias F16x4 = vec2<u32>;

fn f16x4_decode(words: F16x4) -> vec4<f32> {
    return vec4<f32>(unpack2x16float(words.x), unpack2x16float(words.y));
}

// v must hold f16 numbers.
fn f16x4_encode(v: vec4<f32>) -> F16x4 {
    return vec2<u32>(
        f16_pack(v.x) | (f16_pack(v.y) << 16u),
        f16_pack(v.z) | (f16_pack(v.w) << 16u),
    );
}

fn f16x4_nearest(v: vec4<f32>) -> vec4<f32> {
    return vec4<f32>(f16_nearest(v.x), f16_nearest(v.y), f16_nearest(v.z), f16_nearest(v.w));
}

fn f16x4_stochastic(v: vec4<f32>, random: vec4<u32>) -> vec4<f32> {
    return vec4<f32>(
        f16_stochastic(v.x, random.x),
        f16_stochastic(v.y, random.y),
        f16_stochastic(v.z, random.z),
        f16_stochastic(v.w, random.w),
    );
}
