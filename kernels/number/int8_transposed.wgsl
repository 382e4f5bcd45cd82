// int8 operands packed along k of which one or both are stored transposed, one word at a time; with
// int8.wgsl.
// a: LDK/4 x LDA words; b: N x LDB/4 words.
fn load_at(q: u32, i: u32) -> u32 {
    return a[(q >> 2u) * LDA + i];
}

fn load_bt(j: u32, q: u32) -> u32 {
    return b[(j * LDB + q) >> 2u];
}
