// C = A·B with an f16 accumulator rounded stochastically after every product-add, and a block of
// 2 x 4 entries of C in each thread's registers: small, because each entry holds 128 random bits.
// Random bits as in accumulate_f16_sr.wgsl, so it equals `naive` bit for bit.
const ROWS: u32 = 2u; // of C, a thread

fn random_bits(i: u32, j: u32, block: u32) -> vec4<u32> {
    return philox4x32(vec4<u32>(i, j, block, STREAM_ACCUMULATE), vec2<u32>(SEED, TRIAL));
}

@compute @workgroup_size(8, 8)
fn multiply(@builtin(global_invocation_id) id: vec3<u32>) {
    let p = id.z;
    let i0 = id.y * ROWS;
    let j0 = id.x * 4u;
    if (i0 >= M || j0 >= N) {
        return;
    }
    var sums: array<vec4<f32>, ROWS>;
    for (var q0 = 0u; q0 < K; q0 += 8u) {
        var bits: array<array<vec4<u32>, 4>, ROWS>;
        for (var r = 0u; r < ROWS; r++) {
            for (var c = 0u; c < 4u; c++) {
                bits[r][c] = random_bits(p * M + i0 + r, j0 + c, q0 >> 3u);
            }
        }
        for (var part = 0u; part < 2u; part++) {
            let q = q0 + 4u * part;
            var rows: array<vec4<f32>, ROWS>;
            for (var r = 0u; r < ROWS; r++) {
                rows[r] = row_a(p, i0 + r, q);
            }
            var columns = square_b(p, q, j0);
            for (var s = 0u; s < 4u; s++) {
                let b = columns[s];
                for (var r = 0u; r < ROWS; r++) {
                    let exact = fma(vec4<f32>(rows[r][s]), b, sums[r]);
                    for (var c = 0u; c < 4u; c++) {
                        sums[r][c] = f16_stochastic(exact[c], half_word(bits[r][c], 4u * part + s));
                    }
                }
            }
        }
    }
    for (var r = 0u; r < ROWS; r++) {
        if (i0 + r < M) {
            store4(p * M + i0 + r, j0, sums[r]);
        }
    }
}
