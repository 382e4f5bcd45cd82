// The scales of a block of four neighbouring columns of B in one load; blocks count through all products.
// scales_b: BATCH times LDA/32 x LDB/4 times four scales.
@group(0) @binding(4) var<storage, read> scales_b: array<Scales4>;

// Of columns 4 · four and on.
fn steps_b(block: u32, four: u32) -> vec4<f32> {
    return scale_steps(scales_b[block * (LDB / 4u) + four]);
}
