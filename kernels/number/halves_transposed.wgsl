// 16-bit operands in halves of 32-bit words of which one or both are stored transposed, one number at
// a time; with f16_packed.wgsl or bf16.wgsl, whose load_half decodes them.
// a: LDK x LDA numbers, b: N x LDB numbers.
fn load_at(q: u32, i: u32) -> f32 {
    return load_half(a[(q * LDA + i) >> 1u], i);
}

fn load_bt(j: u32, q: u32) -> f32 {
    return load_half(b[(j * LDB + q) >> 1u], q);
}
