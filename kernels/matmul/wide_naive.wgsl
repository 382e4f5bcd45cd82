// C = A·B of numbers of several parts, with compensated sums, or in f64: the readable kernel and the
// baseline. A thread computes one entry of C, summing over q = 0, 1, …, K-1 in order.
// c: M x LDC entries, as the file of the product-add has them.
@group(0) @binding(2) var<storage, read_write> c: array<Entry>;

@compute @workgroup_size(8, 8)
fn multiply(@builtin(global_invocation_id) id: vec3<u32>) {
    let p = id.z;
    let i = id.y;
    let j = id.x;
    if (i >= M || j >= N) {
        return;
    }
    var sum: Sum; // 0
    for (var q = 0u; q < K; q++) {
        sum = accumulate(sum, a_at(p, i, q), b_at(p, q, j));
    }
    c[(p * M + i) * LDC + j] = entry_of(sum);
}
