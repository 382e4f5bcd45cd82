// Several steps in one dispatch of one workgroup, for a model and a minibatch so small that
// launching would take longer than the work. The order of every sum is that of the dispatches of
// residual.wgsl and update.wgsl, whose functions these are.

@compute @workgroup_size(THREADS)
fn persistent(@builtin(local_invocation_index) local: u32) {
    for (var s = 0u; s < step.count; s++) {
        advance = s;
        for (var item = 0u; item < step.batch * OUTPUTS; item += THREADS / LANES) {
            residual_rows(item, local);
            workgroupBarrier(); // before the next rows overwrite the partial sums
        }
        storageBarrier(); // the residuals are written
        for (var index = 0u; index < OUTPUTS * places(); index++) {
            update_rows(index, local);
        }
        storageBarrier(); // the model is written
    }
}
