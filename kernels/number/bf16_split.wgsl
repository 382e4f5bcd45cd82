// f32 operands as triples of bf16, x = x0 + x1 + x2, in three planes one behind the other, each of
// halves of 32-bit words (the lower half first); one number at a time, stored in either way.
// a: 3 x BATCH x M x LDA bf16, b: 3 x BATCH x LDK x LDB bf16; transposed LDK x LDA, N x LDB.
@group(0) @binding(0) var<storage, read> a: array<u32>;
@group(0) @binding(1) var<storage, read> b: array<u32>;

fn half_of(word: u32, index: u32) -> f32 {
    return bitcast<f32>(select(word << 16u, word & 0xffff0000u, (index & 1u) == 1u));
}

fn number_of_a(at: u32) -> Number {
    let plane = numbers_of_a() / 2u;
    let word = at >> 1u;
    return Triple(
        half_of(a[word], at),
        half_of(a[word + plane], at),
        half_of(a[word + 2u * plane], at),
    );
}

fn number_of_b(at: u32) -> Number {
    let plane = numbers_of_b() / 2u;
    let word = at >> 1u;
    return Triple(
        half_of(b[word], at),
        half_of(b[word + plane], at),
        half_of(b[word + 2u * plane], at),
    );
}
