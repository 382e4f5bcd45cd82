// Four f32 to four f16, nearest, two a 32-bit word (the lower half first).
fn convert4(x: vec4<f32>) -> vec2<u32> {
    return vec2<u32>(
        f16_pack(f16_nearest(x.x)) | (f16_pack(f16_nearest(x.y)) << 16u),
        f16_pack(f16_nearest(x.z)) | (f16_pack(f16_nearest(x.w)) << 16u),
    );
}
