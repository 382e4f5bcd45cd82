// Gradient and update of a minibatch of at most BLOCK rows, one thread for four coordinates.

@compute @workgroup_size(64)
fn update_rows(
    @builtin(local_invocation_index) lane: u32,
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
) {
    let i = linear(workgroup, workgroups) * 64u + lane;
    if i < OUTPUTS * GROUPS {
        let output = i / GROUPS;
        let group = i % GROUPS;
        apply(output, group, sum_rows(0u, step.batch, output, group));
    }
}
