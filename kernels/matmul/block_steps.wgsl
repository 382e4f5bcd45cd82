// The scale of a block of one column of B; blocks count through all products.
// scales_b: BATCH times LDA/32 x LDB, SCALES_WORD to a word.
@group(0) @binding(4) var<storage, read> scales_b: array<u32>;

fn step_b(block: u32, j: u32) -> f32 {
    let index = block * LDB + j;
    let word = scales_b[index / SCALES_WORD];
    return scale_step((word >> ((index % SCALES_WORD) * SCALE_BITS)) & SCALE_MASK);
}
