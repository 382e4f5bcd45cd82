// f16 operands as halves of 32-bit words (the lower half first), one number at a time.
// a: M x LDA f16, b: LDA x LDB f16.
@group(0) @binding(0) var<storage, read> a: array<u32>;
@group(0) @binding(1) var<storage, read> b: array<u32>;

fn load_half(word: u32, index: u32) -> f32 {
    let pair = unpack2x16float(word);
    return select(pair.x, pair.y, (index & 1u) == 1u);
}

fn load_a(i: u32, q: u32) -> f32 {
    return load_half(a[(i * LDA + q) >> 1u], q);
}

fn load_b(q: u32, j: u32) -> f32 {
    return load_half(b[(q * LDB + j) >> 1u], j);
}
