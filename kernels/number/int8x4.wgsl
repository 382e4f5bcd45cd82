// int8 operands packed along k, four consecutive k a 32-bit word (the lowest byte first), four words
// at a time: 16 neighbours of a row of A, or four columns of B.
// a: M x LDA/4 words; b: LDA/4 x LDB words; q is a multiple of 16 for A, of 4 for B.
@group(0) @binding(0) var<storage, read> a: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read> b: array<vec4<u32>>;

alias A4 = vec4<u32>;
alias B4 = vec4<u32>;
const STEP: u32 = 4u; // numbers of k a product-add

fn load_a4(i: u32, q: u32) -> vec4<u32> {
    return a[(i * LDA + q) >> 4u];
}

fn load_b4(q: u32, j: u32) -> vec4<u32> {
    return b[((q >> 2u) * LDB + j) >> 2u];
}

// Four words of a row, as lanes hand them to each other.
alias Words = vec4<u32>;
const WORD: u32 = 4u; // numbers of k a word

fn load_words(i: u32, q: u32) -> Words {
    return load_a4(i, q);
}

fn part(word: u32, index: u32) -> u32 {
    return word;
}
