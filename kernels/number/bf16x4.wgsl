// bf16 operands as halves of 32-bit words (the lower half first), four neighbours of a row at a time.
// a: M x LDA bf16, b: LDA x LDB bf16.
@group(0) @binding(0) var<storage, read> a: array<vec2<u32>>;
@group(0) @binding(1) var<storage, read> b: array<vec2<u32>>;

alias A4 = vec4<f32>;
alias B4 = vec4<f32>;
const STEP: u32 = 1u; // numbers of k a product-add

fn load4(words: vec2<u32>) -> vec4<f32> {
    let low = words << vec2<u32>(16u);
    let high = words & vec2<u32>(0xffff0000u);
    return bitcast<vec4<f32>>(vec4<u32>(low.x, high.x, low.y, high.y));
}

fn load_a4(i: u32, q: u32) -> vec4<f32> {
    return load4(a[(i * LDA + q) >> 2u]);
}

fn load_b4(q: u32, j: u32) -> vec4<f32> {
    return load4(b[(q * LDB + j) >> 2u]);
}

// Four words of a row, as lanes hand them to each other: two numbers cost no more than one.
alias Words = vec4<u32>;
const WORD: u32 = 2u; // numbers of k a word

fn load_words(i: u32, q: u32) -> Words {
    let first = (i * LDA + q) >> 2u;
    return vec4<u32>(a[first], a[first + 1u]);
}

fn part(word: u32, index: u32) -> f32 {
    return bitcast<f32>(select(word << 16u, word & 0xffff0000u, index == 1u));
}
