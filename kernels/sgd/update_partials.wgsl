// Update of a minibatch of more than BLOCK rows, from the last level of partial sums.

@compute @workgroup_size(64)
fn update_partials(
    @builtin(local_invocation_index) lane: u32,
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
) {
    let i = linear(workgroup, workgroups) * 64u + lane;
    if i < OUTPUTS * GROUPS {
        let blocks = (step.batch + BLOCK - 1u) / BLOCK;
        let last_level = select(blocks, (blocks + BLOCK - 1u) / BLOCK, blocks > BLOCK);
        apply(i / GROUPS, i % GROUPS, sum_partials(0u, last_level, i));
    }
}
