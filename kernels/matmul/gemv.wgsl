// C = A·B where B is one column (N = 1) or A one row (M = 1): each lane sums VECTORS times four rows of A,
// or four columns of B, so that all lanes have work. Neighbouring lanes have neighbouring fours. Each
// entry is summed over q = 0, 1, … in order, so it equals `naive` bit for bit where k is in one slice.
// Parameters: THREADS, VECTORS, SLICES.
const SPLIT: u32 = 4u * THREADS; // rows or columns between a lane's fours

@compute @workgroup_size(THREADS)
fn multiply(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let part = part_of(id.z);
    let p = part.product;
    let first = id.x * VECTORS * SPLIT + 4u * lane;
    if (first >= max(M, N)) {
        return;
    }
    var sums: array<Sum4, VECTORS>;
    var carries: array<vec4<i32>, VECTORS>;
    for (var q = part.first; q < part.last; q += 4u * STEP) {
        if (folds_at(q)) {
            for (var v = 0u; v < VECTORS; v++) {
                carries[v] = carried(carries[v], sums[v]);
                sums[v] = rest(sums[v]);
            }
        }
        if (N == 1u) {
            var x = square_b(p, q, 0u);
            for (var v = 0u; v < VECTORS; v++) {
                var a = square_a(p, first + v * SPLIT, q);
                for (var s = 0u; s < 4u; s++) {
                    let rows = line_of(A4(a[0][s], a[1][s], a[2][s], a[3][s]));
                    sums[v] = accumulate_rows4(sums[v], rows, x[s]);
                }
            }
        } else {
            var x = row_a(p, 0u, q);
            for (var v = 0u; v < VECTORS; v++) {
                var b = square_b(p, q, clamped(first + v * SPLIT));
                for (var s = 0u; s < 4u; s++) {
                    sums[v] = accumulate4(sums[v], x[s], b[s]);
                }
            }
        }
    }
    let row = id.z * M; // of C, or of the slice's sums
    for (var v = 0u; v < VECTORS; v++) {
        let four = first + v * SPLIT;
        if (N > 1u && four < N) {
            store4(row, four, finished(sums[v], carries[v], row, four));
        }
        for (var r = 0u; r < 4u; r++) {
            if (N == 1u && four + r < M) {
                let i = row + four + r;
                store4(i, 0u, finished(lane_of(sums[v], r), vec4<i32>(carries[v][r]), i, 0u));
            }
        }
    }
}
