// f32 operands of which one or both are stored transposed, four neighbours of a row at a time; with
// f32x4.wgsl.
// a: LDK x LDA f32, b: N x LDB f32.
fn load_at4(q: u32, i: u32) -> A4 {
    return a[(q * LDA + i) >> 2u];
}

fn load_bt4(j: u32, q: u32) -> B4 {
    return b[(j * LDB + q) >> 2u];
}
