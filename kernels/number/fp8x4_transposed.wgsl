// fp8 operands of which one or both are stored transposed, four neighbours of a row at a time; with
// fp8x4.wgsl.
// a: LDK x LDA bytes, b: N x LDB bytes.
fn load_at4(q: u32, i: u32) -> A4 {
    return fp8_decode4(a[(q * LDA + i) >> 2u]);
}

fn load_bt4(j: u32, q: u32) -> B4 {
    return fp8_decode4(b[(j * LDB + q) >> 2u]);
}
