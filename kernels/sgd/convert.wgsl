// Conversion of a part of the data set from f32 to its storage format, four numbers a thread.
// Needs a data_*.wgsl, which gives DataFour and encode_data.

struct Conversion {
    fours: u32, // in this part
    inverse_step: f32, // one over the grid's step, a power of two; 1 for floating point
    padding0: u32,
    padding1: u32,
}

@group(0) @binding(0) var<uniform> conversion: Conversion;
@group(0) @binding(1) var<storage, read> source: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> stored: array<DataFour>;

@compute @workgroup_size(64)
fn convert(
    @builtin(local_invocation_index) lane: u32,
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
) {
    let i = (workgroup.y * workgroups.x + workgroup.x) * 64u + lane;
    if i < conversion.fours {
        stored[i] = encode_data(source[i] * conversion.inverse_step);
    }
}
