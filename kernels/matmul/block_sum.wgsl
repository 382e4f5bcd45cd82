// What products of block-scaled operands share: the scales of A, and how the sum of a block joins the sum
// of its entry of C. Over blocks 0, 1, … in order: c = fma(block · step_a, step_b, c), where `block` is the
// sum over the 32 products of the elements and step_a, step_b are their scales. Powers of two make both
// products exact unless they leave the range of f32.
// scales_a: BATCH times M x LDA/32, SCALES_WORD to a word; rows and blocks count through all products.
@group(0) @binding(3) var<storage, read> scales_a: array<u32>;

const BLOCK: u32 = 32u;
const WORDS: u32 = BLOCK / WORD; // a block
const SCALE_BITS: u32 = 32u / SCALES_WORD;
const SCALE_MASK: u32 = 0xffffffffu >> (32u - SCALE_BITS);

fn step_a(i: u32, block: u32) -> f32 {
    let index = i * (LDA / BLOCK) + block;
    let word = scales_a[index / SCALES_WORD];
    return scale_step((word >> ((index % SCALES_WORD) * SCALE_BITS)) & SCALE_MASK);
}

// scaled: the sum of a block times the scale of A; step: the scale of B.
fn joined(sum: f32, scaled: f32, step: f32) -> f32 {
    return fma(scaled, step, sum);
}
