// fp8 operands of which one or both are stored transposed, one number at a time; with fp8.wgsl.
// a: LDK x LDA bytes, b: N x LDB bytes.
fn load_at(q: u32, i: u32) -> f32 {
    return fp8_decode(a[(q * LDA + i) >> 2u] >> (8u * (i & 3u)));
}

fn load_bt(j: u32, q: u32) -> f32 {
    return fp8_decode(b[(j * LDB + q) >> 2u] >> (8u * (q & 3u)));
}
