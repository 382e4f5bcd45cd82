// Conversion of a whole padded matrix from f32 to numbers of several parts, four a thread; where the
// parts go, the format's file says.
// source: COUNT x vec4 f32. A 2-D grid of STRIDE threads a row.
override COUNT: u32;
override STRIDE: u32;
@group(0) @binding(0) var<storage, read> source: array<vec4<f32>>;

@compute @workgroup_size(64)
fn convert(@builtin(global_invocation_id) id: vec3<u32>) {
    let index = id.y * STRIDE + id.x;
    if (index < COUNT) {
        convert_to(index, source[index]);
    }
}
