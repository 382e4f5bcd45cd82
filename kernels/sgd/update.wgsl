// Second and last of the dispatches of a step whose minibatch is one tile: gradient and update.

@compute @workgroup_size(THREADS)
fn update(
    @builtin(local_invocation_index) local: u32,
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
) {
    let index = linear(workgroup, workgroups);
    if index < OUTPUTS * places() {
        update_rows(index, local);
    }
}
