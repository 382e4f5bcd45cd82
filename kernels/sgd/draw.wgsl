// The rows that the steps between two full gradients take, drawn with replacement, entry by entry: row
// floor(n word / 2^32) of a random word. Every minibatch of the steps is of `batch` rows.

override DRAWN: u32; // rows of all these steps

@group(0) @binding(1) var<storage, read_write> order: array<u32>; // DRAWN

// A round that the network of shuffle.wgsl, whose stream this is, never reaches.
const DRAWS: u32 = 0xffffffffu;

@compute @workgroup_size(64)
fn draw(
    @builtin(local_invocation_index) lane: u32,
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
) {
    let position = linear(workgroup, workgroups) * 64u + lane;
    if position >= DRAWN {
        return;
    }
    let ahead = position / step.batch;
    let counter = vec4<u32>(step.step + ahead, DRAWS, position - ahead * step.batch, STREAM_SHUFFLE);
    order[position] = mul_high(philox4x32(counter, vec2<u32>(step.seed, step.trial)).x, step.rows);
}
