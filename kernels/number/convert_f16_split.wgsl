// Four f32 to four pairs of f16, x = hi + lo / 2048, both nearest, a 32-bit word each (hi in the lower
// half). x - hi has at most 13 bits and is exact; times 2^11 it is of the size of x, so that lo is no
// subnormal where hi is none.
@group(0) @binding(1) var<storage, read_write> target_words: array<vec4<u32>>;

fn pair_of(x: f32) -> u32 {
    let hi = f16_nearest(x);
    let lo = f16_nearest((x - hi) * 2048.0);
    return f16_pack(hi) | (f16_pack(lo) << 16u);
}

fn convert_to(index: u32, x: vec4<f32>) {
    target_words[index] = vec4<u32>(pair_of(x.x), pair_of(x.y), pair_of(x.z), pair_of(x.w));
}
