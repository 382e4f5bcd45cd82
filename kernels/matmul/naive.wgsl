// C = A·B, the readable kernel and the baseline: a thread computes one entry of C (two neighbours
// where two share a word), summing over q = 0, 1, …, K-1 in order.
@compute @workgroup_size(8, 8)
fn multiply(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = id.y;
    let j = id.x * COLUMNS;
    if (i >= M || j >= N) {
        return;
    }
    var sums = vec2<f32>(0.0);
    for (var column = 0u; column < COLUMNS; column++) {
        var sum = 0.0;
        for (var q = 0u; q < K; q++) {
            sum = accumulate(sum, load_a(i, q), load_b(q, j + column), i, j + column, q);
        }
        sums[column] = sum;
    }
    store(i, j, sums);
}
