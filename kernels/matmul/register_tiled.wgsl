// C = A·B with a block of 8 x 8 entries of C in each thread's registers and 4-wide loads straight from
// storage: no workgroup memory, no barrier. A workgroup of 8 x 8 threads covers 64 x 64 entries; the
// 8 threads of a row read neighbouring columns of B. Each entry is summed over q = 0, 1, … in order,
// so it equals `naive` bit for bit.
// Method: Volkov and Demmel, "Benchmarking GPUs to tune dense linear algebra", SC 2008.
const TILE: u32 = 64u; // of C, a workgroup
const ROWS: u32 = 8u; // of C, a thread
const SPLIT: u32 = 32u; // between a thread's two groups of 4 columns

@compute @workgroup_size(8, 8)
fn multiply(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_id) thread: vec3<u32>,
) {
    let i0 = group.y * TILE + thread.y * ROWS;
    let j0 = group.x * TILE + thread.x * 4u;
    if (i0 >= M || j0 >= N) {
        return;
    }
    // A thread at an edge reads the last row or column again and does not store the result.
    let j0_read = min(j0, LDB - 4u);
    let j1_read = min(j0 + SPLIT, LDB - 4u);

    var left: array<vec4<f32>, ROWS>;
    var right: array<vec4<f32>, ROWS>;
    for (var q = 0u; q < K; q += 4u) {
        var rows: array<vec4<f32>, ROWS>;
        for (var r = 0u; r < ROWS; r++) {
            rows[r] = load_a4(min(i0 + r, M - 1u), q);
        }
        for (var s = 0u; s < 4u; s++) {
            let b0 = load_b4(q + s, j0_read);
            let b1 = load_b4(q + s, j1_read);
            for (var r = 0u; r < ROWS; r++) {
                left[r] = accumulate4(left[r], rows[r][s], b0);
                right[r] = accumulate4(right[r], rows[r][s], b1);
            }
        }
    }
    for (var r = 0u; r < ROWS; r++) {
        if (i0 + r < M) {
            store4(i0 + r, j0, left[r]);
            if (j0 + SPLIT < N) {
                store4(i0 + r, j0 + SPLIT, right[r]);
            }
        }
    }
}
