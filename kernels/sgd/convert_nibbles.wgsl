// Conversion of a part of the data set from f32 to 4 bits, eight numbers (a word) a thread. Behind an
// odd number of fours the last word's upper half is zero.
// Needs data_i4.wgsl.

struct Conversion {
    fours: u32, // in this part
    inverse_step: f32, // one over the grid's step, a power of two
    padding0: u32,
    padding1: u32,
}

@group(0) @binding(0) var<uniform> conversion: Conversion;
@group(0) @binding(1) var<storage, read> source: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> stored: array<u32>;

fn half_word(four: u32) -> u32 {
    return nibbles_of(encode_data(source[four] * conversion.inverse_step));
}

@compute @workgroup_size(64)
fn convert(
    @builtin(local_invocation_index) lane: u32,
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
) {
    let i = (workgroup.y * workgroups.x + workgroup.x) * 64u + lane;
    let first = 2u * i;
    if first < conversion.fours {
        var word = half_word(first);
        if first + 1u < conversion.fours {
            word |= half_word(first + 1u) << 16u;
        }
        stored[i] = word;
    }
}
