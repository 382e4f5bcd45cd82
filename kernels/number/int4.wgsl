// int4: integers in [-7, 7], eight a word, 32 along k under an f32 scale. The sum of a block is an exact
// integer. A nibble in the upper half of a byte is 16 times its value as an int8, so eight products
// are two dot products of int8, and their sum is 256 times too large: 32 · 7 · 7 · 256 < 2^24.
const WORD: u32 = 8u; // elements of k a 32-bit word, the lowest bits first
const ELEMENT_LIMIT: i32 = 7;
const UPPER_NIBBLES: u32 = 0xf0f0f0f0u;

alias Decoded = vec2<u32>;
alias Partial = i32;

fn decoded(word: u32) -> Decoded {
    return vec2<u32>(word << 4u, word) & vec2<u32>(UPPER_NIBBLES);
}

fn dot_add(sum: Partial, a: Decoded, b: Decoded) -> Partial {
    return sum + dot4I8Packed(a.x, b.x) + dot4I8Packed(a.y, b.y);
}

fn partial_value(sum: Partial) -> f32 {
    return f32(sum >> 8u);
}
