// fp8 operands as bytes of 32-bit words (the lowest byte first), one number at a time.
// a: M x LDA bytes, b: LDA x LDB bytes.
@group(0) @binding(0) var<storage, read> a: array<u32>;
@group(0) @binding(1) var<storage, read> b: array<u32>;

fn load_a(i: u32, q: u32) -> f32 {
    return fp8_decode(a[(i * LDA + q) >> 2u] >> (8u * (q & 3u)));
}

fn load_b(q: u32, j: u32) -> f32 {
    return fp8_decode(b[(q * LDB + j) >> 2u] >> (8u * (j & 3u)));
}
