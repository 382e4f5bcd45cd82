// mxint8 (OCP MX 1.0): integers in [-127, 127] times 2^-6, four a word, 32 along k under a power of
// two. The sum of a block is an exact integer: 32 · 127 · 127 < 2^24, so as an f32 too.
const WORD: u32 = 4u; // elements of k a 32-bit word, the lowest bits first
const LARGEST_POWER: u32 = 0u; // the largest power of two that an element holds is 2^0
const IMPLIED: u32 = 6u; // an integer 1 is an element 2^-6
const ELEMENT_LIMIT: i32 = 127;

alias Decoded = u32;
alias Partial = i32;

fn decoded(word: u32) -> Decoded {
    return word;
}

fn dot_add(sum: Partial, a: Decoded, b: Decoded) -> Partial {
    return sum + dot4I8Packed(a, b);
}

fn partial_value(sum: Partial) -> f32 {
    return f32(sum);
}
