// Conversion of a whole padded stack of matrices from f32 to an 8-bit format, four numbers a thread.
// source: COUNT x vec4 f32 in rows of LD numbers; target_words: COUNT words. A 2-D grid of STRIDE
// threads a row.
override COUNT: u32;
override STRIDE: u32;
override LD: u32;
override STREAM: u32; // what the random bits are for, if any are drawn
override TRANSPOSED: bool;
override SLAB: u32; // rows of one matrix as it is stored
override ACROSS: u32; // rows of it as it is multiplied, where it is stored transposed
@group(0) @binding(0) var<storage, read> source: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> target_words: array<u32>;

@compute @workgroup_size(64)
fn convert(@builtin(global_invocation_id) id: vec3<u32>) {
    let index = id.y * STRIDE + id.x;
    if (index < COUNT) {
        let row = (4u * index) / LD;
        target_words[index] = convert4(source[index], row, 4u * index - row * LD);
    }
}
