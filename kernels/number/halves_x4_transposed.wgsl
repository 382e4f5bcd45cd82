// 16-bit operands in halves of 32-bit words of which one or both are stored transposed, four neighbours
// of a row at a time; with f16_packed_x4.wgsl or bf16x4.wgsl, whose load4 decodes them.
// a: LDK x LDA numbers, b: N x LDB numbers.
fn load_at4(q: u32, i: u32) -> A4 {
    return load4(a[(q * LDA + i) >> 2u]);
}

fn load_bt4(j: u32, q: u32) -> B4 {
    return load4(b[(j * LDB + q) >> 2u]);
}
