// C = A·B with a block of BLOCK_M x BLOCK_N entries of C in each thread's registers and 4-wide loads
// straight from storage: no workgroup memory, no barrier. A workgroup is THREADS_M x THREADS_N
// threads; those of a row read neighbouring columns of B. Each entry is summed over q = 0, 1, … in
// order, so it equals `naive` bit for bit where k is in one slice.
// Parameters: THREADS_M, THREADS_N, BLOCK_M and BLOCK_N (multiples of 4), SLICES, SWIZZLE.
// Method: Volkov and Demmel, "Benchmarking GPUs to tune dense linear algebra", SC 2008.
const SQUARES: u32 = BLOCK_M / 4u; // of 4 rows, a thread
const VECTORS: u32 = BLOCK_N / 4u; // of 4 columns, a thread
const SPLIT: u32 = 4u * THREADS_N; // columns between a thread's vectors

@compute @workgroup_size(THREADS_N, THREADS_M)
fn multiply(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_id) thread: vec3<u32>,
) {
    let part = part_of(id.z);
    let p = part.product;
    let group = swizzled(id, groups);
    let i0 = (group.y * THREADS_M + thread.y) * BLOCK_M;
    let j0 = group.x * THREADS_N * BLOCK_N + thread.x * 4u;
    if (i0 >= M || j0 >= N) {
        return;
    }
    // A thread at an edge reads the last row or column again and does not store the result.
    var columns: array<u32, VECTORS>;
    for (var v = 0u; v < VECTORS; v++) {
        columns[v] = clamped(j0 + v * SPLIT);
    }
    var sums: array<array<Sum4, VECTORS>, BLOCK_M>;
    var carries: array<array<vec4<i32>, VECTORS>, BLOCK_M>;
    for (var q = part.first; q < part.last; q += 4u * STEP) {
        if (folds_at(q)) {
            for (var r = 0u; r < BLOCK_M; r++) {
                for (var v = 0u; v < VECTORS; v++) {
                    carries[r][v] = carried(carries[r][v], sums[r][v]);
                    sums[r][v] = rest(sums[r][v]);
                }
            }
        }
        var rows: array<array<A4, 4>, SQUARES>;
        for (var r = 0u; r < SQUARES; r++) {
            rows[r] = square_a(p, i0 + 4u * r, q);
        }
        var ahead: array<array<B4, 4>, VECTORS>;
        if (B_TRANSPOSED) {
            for (var v = 0u; v < VECTORS; v++) {
                ahead[v] = square_b(p, q, columns[v]);
            }
        }
        for (var s = 0u; s < 4u; s++) {
            var b: array<B4, VECTORS>;
            for (var v = 0u; v < VECTORS; v++) {
                if (B_TRANSPOSED) {
                    b[v] = ahead[v][s];
                } else {
                    b[v] = line_b(p, q + s * STEP, columns[v]);
                }
            }
            for (var r = 0u; r < BLOCK_M; r++) {
                for (var v = 0u; v < VECTORS; v++) {
                    sums[r][v] = accumulate4(sums[r][v], rows[r / 4u][r % 4u][s], b[v]);
                }
            }
        }
    }
    for (var r = 0u; r < BLOCK_M; r++) {
        let row = id.z * M + i0 + r; // of all products and slices
        for (var v = 0u; v < VECTORS; v++) {
            let j = j0 + v * SPLIT;
            if (i0 + r < M && j < N) {
                store4(row, j, finished(sums[r][v], carries[r][v], row, j));
            }
        }
    }
}
