// f32 operands as pairs of f16, x = hi + lo / 2048, in a 32-bit word each (hi in the lower half), four
// neighbours of a row at a time.
// a: M x LDA words, b: LDK x LDB words.
@group(0) @binding(0) var<storage, read> a: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read> b: array<vec4<u32>>;

alias A4 = array<vec2<f32>, 4>;
alias B4 = Pair4;
const STEP: u32 = 1u; // numbers of k a product-add

fn pairs(words: vec4<u32>) -> A4 {
    return A4(
        unpack2x16float(words.x),
        unpack2x16float(words.y),
        unpack2x16float(words.z),
        unpack2x16float(words.w),
    );
}

fn load_a4(i: u32, q: u32) -> A4 {
    return pairs(a[(i * LDA + q) >> 2u]);
}

fn load_b4(q: u32, j: u32) -> B4 {
    let x = pairs(b[(q * LDB + j) >> 2u]);
    return Pair4(
        vec4<f32>(x[0].x, x[1].x, x[2].x, x[3].x),
        vec4<f32>(x[0].y, x[1].y, x[2].y, x[3].y),
    );
}
