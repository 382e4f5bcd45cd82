// C = A·B where B is one column (N = 1) or A one row (M = 1): each lane sums four rows of A, or four
// columns of B, so that all lanes have work. Each entry is summed over q = 0, 1, … in order, so it equals
// `naive` bit for bit where k is in one slice.
// Parameters: THREADS, SLICES.
@compute @workgroup_size(THREADS)
fn multiply(@builtin(global_invocation_id) id: vec3<u32>) {
    let part = part_of(id.z);
    let p = part.product;
    let row = id.z * M; // of C, or of the slice's sums
    let first = 4u * id.x;
    if (first >= max(M, N)) {
        return;
    }
    var sums: Sum4;
    var carry: vec4<i32>;
    for (var q = part.first; q < part.last; q += 4u * STEP) {
        if (folds_at(q)) {
            carry = carried(carry, sums);
            sums = rest(sums);
        }
        if (N == 1u) {
            var a = square_a(p, first, q);
            var x = square_b(p, q, 0u);
            for (var s = 0u; s < 4u; s++) {
                sums = accumulate4(sums, x[s].x, A4(a[0][s], a[1][s], a[2][s], a[3][s]));
            }
        } else {
            let x = row_a(p, 0u, q);
            var b = square_b(p, q, first);
            for (var s = 0u; s < 4u; s++) {
                sums = accumulate4(sums, x[s], b[s]);
            }
        }
    }
    if (N > 1u) {
        store4(row, first, finished(sums, carry, row, first));
        return;
    }
    for (var r = 0u; r < 4u; r++) {
        if (first + r < M) {
            let i = row + first + r;
            store4(i, 0u, finished(Sum4(sums[r]), vec4<i32>(carry[r]), i, 0u));
        }
    }
}
