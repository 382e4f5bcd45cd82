// C = A·B, the readable kernel and the baseline: a thread computes one entry of C (two neighbours
// where two share a word), summing over q = 0, 1, …, K-1 in order.
@compute @workgroup_size(8, 8)
fn multiply(@builtin(global_invocation_id) id: vec3<u32>) {
    let p = id.z;
    let i = id.y;
    let j = id.x * COLUMNS;
    if (i >= M || j >= N) {
        return;
    }
    let row = p * M + i; // of all products
    var sums = vec2<f32>(0.0);
    for (var column = 0u; column < COLUMNS; column++) {
        var sum = 0.0;
        for (var q = 0u; q < K; q++) {
            sum = accumulate(sum, a_at(p, i, q), b_at(p, q, j + column), row, j + column, q);
        }
        sums[column] = sum;
    }
    store(row, j, sums);
}
