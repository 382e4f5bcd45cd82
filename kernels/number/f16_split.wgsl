// f32 operands as pairs of f16, x = hi + lo / 2048, in a 32-bit word each (hi in the lower half), one at a
// time, stored in either way.
// a: M x LDA words, b: LDK x LDB words; transposed LDK x LDA, N x LDB.
@group(0) @binding(0) var<storage, read> a: array<u32>;
@group(0) @binding(1) var<storage, read> b: array<u32>;

fn number_of_a(at: u32) -> Number {
    let parts = unpack2x16float(a[at]);
    return Pair(parts.x, parts.y);
}

fn number_of_b(at: u32) -> Number {
    let parts = unpack2x16float(b[at]);
    return Pair(parts.x, parts.y);
}
