// fp8 operands as bytes of 32-bit words (the lowest byte first), four neighbours of a row at a time.
// a: M x LDA bytes, b: LDA x LDB bytes.
@group(0) @binding(0) var<storage, read> a: array<u32>;
@group(0) @binding(1) var<storage, read> b: array<u32>;

alias A4 = vec4<f32>;
alias B4 = vec4<f32>;
const STEP: u32 = 1u; // numbers of k a product-add

fn load_a4(i: u32, q: u32) -> vec4<f32> {
    return fp8_decode4(a[(i * LDA + q) >> 2u]);
}

fn load_b4(q: u32, j: u32) -> vec4<f32> {
    return fp8_decode4(b[(q * LDB + j) >> 2u]);
}

// Four words of a row, as lanes hand them to each other: four numbers cost no more than one.
alias Words = vec4<u32>;
const WORD: u32 = 4u; // numbers of k a word

fn load_words(i: u32, q: u32) -> Words {
    let first = (i * LDA + q) >> 2u;
    return vec4<u32>(a[first], a[first + 1u], a[first + 2u], a[first + 3u]);
}

fn part(word: u32, index: u32) -> f32 {
    return fp8_decode(word >> (8u * index));
}
