// f32 operands as pairs of f16, x = hi + lo / 2048, in a 32-bit word each (hi in the lower half), four
// neighbours of a row at a time; with pairs_x4.wgsl.
// a: M x LDA words, b: LDK x LDB words; transposed LDK x LDA, N x LDB.
@group(0) @binding(0) var<storage, read> a: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read> b: array<vec4<u32>>;

fn pairs(words: vec4<u32>) -> A4 {
    return A4(
        unpack2x16float(words.x),
        unpack2x16float(words.y),
        unpack2x16float(words.z),
        unpack2x16float(words.w),
    );
}

fn four_of_a(at: u32) -> A4 {
    return pairs(a[at >> 2u]);
}

fn four_of_b(at: u32) -> A4 {
    return pairs(b[at >> 2u]);
}
