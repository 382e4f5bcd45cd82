// int8 operands packed along k, four consecutive k a 32-bit word (the lowest byte first), one word at a
// time; q is a multiple of 4.
// a: M x LDA/4 words; b: LDK/4 x LDB words.
@group(0) @binding(0) var<storage, read> a: array<u32>;
@group(0) @binding(1) var<storage, read> b: array<u32>;

alias Number = u32;

fn load_a(i: u32, q: u32) -> u32 {
    return a[(i * LDA + q) >> 2u];
}

fn load_b(q: u32, j: u32) -> u32 {
    return b[(q >> 2u) * LDB + j];
}
