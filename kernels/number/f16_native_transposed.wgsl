// f16 operands in the device's own type of which one or both are stored transposed, one number at a
// time; with f16_native.wgsl.
// a: LDK x LDA f16, b: N x LDB f16.
fn load_at(q: u32, i: u32) -> f32 {
    return f32(a[q * LDA + i]);
}

fn load_bt(j: u32, q: u32) -> f32 {
    return f32(b[j * LDB + q]);
}
