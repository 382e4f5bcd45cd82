// Gradient of a minibatch of more than BLOCK rows: one partial sum for each block of BLOCK rows.

// blocks x OUTPUTS x GROUPS
@group(0) @binding(5) var<storage, read_write> partials: array<vec4<f32>>;

@compute @workgroup_size(64)
fn gradient(
    @builtin(local_invocation_index) lane: u32,
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
) {
    let i = linear(workgroup, workgroups) * 64u + lane;
    let first = i / (OUTPUTS * GROUPS) * BLOCK;
    if first >= step.batch {
        return;
    }
    let end = min(first + BLOCK, step.batch);
    partials[i] = sum_rows(first, end, i / GROUPS % OUTPUTS, i % GROUPS);
}
