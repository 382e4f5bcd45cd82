// f16 operands in the device's own type of which one or both are stored transposed, four neighbours of a
// row at a time; with f16_native_x4.wgsl.
// a: LDK x LDA f16, b: N x LDB f16.
fn load_at4(q: u32, i: u32) -> A4 {
    return vec4<f32>(a[(q * LDA + i) >> 2u]);
}

fn load_bt4(j: u32, q: u32) -> B4 {
    return vec4<f32>(b[(j * LDB + q) >> 2u]);
}
