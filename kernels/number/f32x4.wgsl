// f32 operands, four neighbours of a row at a time.
// a: M x LDA f32, b: LDA x LDB f32.
@group(0) @binding(0) var<storage, read> a: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> b: array<vec4<f32>>;

alias A4 = vec4<f32>;
alias B4 = vec4<f32>;
const STEP: u32 = 1u; // numbers of k a product-add

fn load_a4(i: u32, q: u32) -> vec4<f32> {
    return a[(i * LDA + q) >> 2u];
}

fn load_b4(q: u32, j: u32) -> vec4<f32> {
    return b[(q * LDB + j) >> 2u];
}

// Four words of a row, as lanes hand them to each other.
alias Words = vec4<f32>;
const WORD: u32 = 1u; // numbers of k a word

fn load_words(i: u32, q: u32) -> Words {
    return load_a4(i, q);
}

fn part(word: f32, index: u32) -> f32 {
    return word;
}
