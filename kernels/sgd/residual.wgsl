// First of the dispatches of a step: the residuals of the minibatch.

@compute @workgroup_size(THREADS)
fn residual(
    @builtin(local_invocation_index) local: u32,
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
) {
    residual_rows(linear(workgroup, workgroups) * (THREADS / LANES), local);
}
