// Conversion of a whole padded matrix from f32 to a 16-bit format, four numbers a thread.
// source: COUNT x vec4 f32; target_words: COUNT x 2 words. A 2-D grid of STRIDE threads a row.
override COUNT: u32;
override STRIDE: u32;
@group(0) @binding(0) var<storage, read> source: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> target_words: array<vec2<u32>>;

@compute @workgroup_size(64)
fn convert(@builtin(global_invocation_id) id: vec3<u32>) {
    let index = id.y * STRIDE + id.x;
    if (index < COUNT) {
        target_words[index] = convert4(source[index]);
    }
}
