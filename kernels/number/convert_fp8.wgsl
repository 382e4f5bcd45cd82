// Four f32 to four fp8, nearest, in a 32-bit word (the lowest byte first).
fn convert4(x: vec4<f32>, row: u32, column: u32) -> u32 {
    return fp8_nearest(x.x) | (fp8_nearest(x.y) << 8u) | (fp8_nearest(x.z) << 16u)
        | (fp8_nearest(x.w) << 24u);
}
