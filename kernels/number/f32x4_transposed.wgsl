// f32 or f64 operands of which one or both are stored transposed, four neighbours of a row at a time; with
// f32x4.wgsl or f64x4.wgsl.
// a: LDK x LDA numbers, b: N x LDB numbers.
fn load_at4(q: u32, i: u32) -> A4 {
    return a[(q * LDA + i) >> 2u];
}

fn load_bt4(j: u32, q: u32) -> B4 {
    return b[(j * LDB + q) >> 2u];
}
