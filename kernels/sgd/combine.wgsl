// Second level of the gradient's sum, where there are more than BLOCK blocks: BLOCK of them at a
// time, in order.

// ceil(blocks / BLOCK) x OUTPUTS x GROUPS
@group(0) @binding(6) var<storage, read_write> combined: array<vec4<f32>>;

@compute @workgroup_size(64)
fn combine(
    @builtin(local_invocation_index) lane: u32,
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
) {
    let i = linear(workgroup, workgroups) * 64u + lane;
    let blocks = (step.batch + BLOCK - 1u) / BLOCK;
    let first = i / (OUTPUTS * GROUPS) * BLOCK;
    if first >= blocks {
        return;
    }
    combined[i] = sum_partials(first, min(first + BLOCK, blocks), i % (OUTPUTS * GROUPS));
}
