// Four f32 to four bf16, nearest, two a 32-bit word (the lower half first).
fn convert4(x: vec4<f32>) -> vec2<u32> {
    return vec2<u32>(
        bf16_nearest(x.x) | (bf16_nearest(x.y) << 16u),
        bf16_nearest(x.z) | (bf16_nearest(x.w) << 16u),
    );
}
