// f32 operands of which one or both are stored transposed, one number at a time; with f32.wgsl.
// a: LDK x LDA f32, b: N x LDB f32.
fn load_at(q: u32, i: u32) -> f32 {
    return a[q * LDA + i];
}

fn load_bt(j: u32, q: u32) -> f32 {
    return b[j * LDB + q];
}
