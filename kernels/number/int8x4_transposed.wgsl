// int8 operands packed along k of which one or both are stored transposed, four words at a time: four
// rows of A, or 16 neighbours of a column of B; with int8x4.wgsl.
// a: LDK/4 x LDA words; b: N x LDB/4 words; q is a multiple of 4 for A, of 16 for B.
fn load_at4(q: u32, i: u32) -> A4 {
    return a[((q >> 2u) * LDA + i) >> 2u];
}

fn load_bt4(j: u32, q: u32) -> B4 {
    return b[(j * LDB + q) >> 4u];
}
