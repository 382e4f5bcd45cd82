// C = A·B where B is one column (N = 1) or A one row (M = 1), with a 16-bit accumulator rounded
// stochastically after every product-add: each lane sums four rows of A, or four columns of B, as in
// gemv.wgsl. Random bits as in accumulate_sr.wgsl, so it equals `naive` bit for bit.
// Parameter: THREADS.
fn random_bits(i: u32, j: u32, eight: u32) -> vec4<u32> {
    return philox4x32(vec4<u32>(i, j, eight, STREAM_ACCUMULATE), vec2<u32>(SEED, TRIAL));
}

@compute @workgroup_size(THREADS)
fn multiply(@builtin(global_invocation_id) id: vec3<u32>) {
    let p = id.z;
    let four = 4u * id.x;
    if (four >= max(M, N)) {
        return;
    }
    let row = p * M; // of all products
    var sums: vec4<f32>;
    for (var q0 = 0u; q0 < K; q0 += 8u) {
        var bits: array<vec4<u32>, 4>;
        for (var e = 0u; e < 4u; e++) {
            if (N == 1u) {
                bits[e] = random_bits(row + four + e, 0u, q0 >> 3u);
            } else {
                bits[e] = random_bits(row, four + e, q0 >> 3u);
            }
        }
        for (var part = 0u; part < 2u; part++) {
            let q = q0 + 4u * part;
            var x: vec4<f32>;
            var lines: array<vec4<f32>, 4>;
            if (N == 1u) {
                var column = square_b(p, q, 0u);
                var rows = square_a(p, four, q);
                for (var s = 0u; s < 4u; s++) {
                    x[s] = column[s].x;
                    lines[s] = vec4<f32>(rows[0][s], rows[1][s], rows[2][s], rows[3][s]);
                }
            } else {
                x = row_a(p, 0u, q);
                var columns = square_b(p, q, clamped(four));
                for (var s = 0u; s < 4u; s++) {
                    lines[s] = columns[s];
                }
            }
            for (var s = 0u; s < 4u; s++) {
                let exact = fma(vec4<f32>(x[s]), lines[s], sums);
                for (var e = 0u; e < 4u; e++) {
                    let random = rounding_bits(bits[e], 4u * part + s);
                    sums[e] = sum_stochastic(exact[e], random);
                }
            }
        }
    }
    if (N > 1u) {
        store4(row, four, sums);
        return;
    }
    for (var e = 0u; e < 4u; e++) {
        if (four + e < M) {
            store4(row + four + e, 0u, vec4<f32>(sums[e]));
        }
    }
}
