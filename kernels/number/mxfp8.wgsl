// mxfp8 (OCP MX 1.0): E4M3 elements, four a word, 32 along k under a power of two. The sum of a block
// is taken in f32 over q = 0, 1, … in order, from exact products.
const WORD: u32 = 4u; // elements of k a 32-bit word, the lowest bits first
const LARGEST_POWER: u32 = 8u; // the largest power of two that an element holds is 2^8
const IMPLIED: u32 = 0u;

alias Decoded = vec4<f32>;
alias Partial = f32;

fn decoded(word: u32) -> Decoded {
    return fp8_decode4(word);
}

fn dot_add(sum: Partial, a: Decoded, b: Decoded) -> Partial {
    return fma(a.w, b.w, fma(a.z, b.z, fma(a.y, b.y, fma(a.x, b.x, sum))));
}

fn partial_value(sum: Partial) -> f32 {
    return sum;
}
