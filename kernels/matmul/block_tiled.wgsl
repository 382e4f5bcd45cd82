// C = A·B for operands that share scales in blocks of 32 along k, with ROWS x 4 entries of C in each
// thread's registers and loads of four words straight from storage. Each entry is summed block after
// block as in block_naive.wgsl, so it equals `naive` bit for bit.
// a: M x LDA/WORD words, WORD consecutive k each; b: LDA/WORD x LDB words, likewise; c: M x LDC f32; each
// BATCH times.
@group(0) @binding(0) var<storage, read> a: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read> b: array<vec4<u32>>;

const ROWS: u32 = 4u; // of C, a thread

@compute @workgroup_size(8, 8)
fn multiply(@builtin(global_invocation_id) id: vec3<u32>) {
    let i0 = id.y * ROWS;
    let j0 = id.x * 4u;
    if (i0 >= M || j0 >= N) {
        return;
    }
    let above = id.z * (LDA / BLOCK); // blocks of B
    var numbers: array<u32, ROWS>; // of rows, through all products; at an edge the last one again
    for (var r = 0u; r < ROWS; r++) {
        numbers[r] = id.z * M + min(i0 + r, M - 1u);
    }
    var sums: array<vec4<f32>, ROWS>;
    for (var block = 0u; block < (K + BLOCK - 1u) / BLOCK; block++) {
        var partials: array<array<Partial, 4>, ROWS>;
        for (var w = 0u; w < WORDS; w += 4u) {
            var rows: array<vec4<u32>, ROWS>;
            for (var r = 0u; r < ROWS; r++) {
                rows[r] = a[(numbers[r] * (LDA / WORD) + block * WORDS + w) / 4u];
            }
            for (var s = 0u; s < 4u; s++) {
                let words = b[(((above + block) * WORDS + w + s) * LDB + j0) / 4u];
                var columns: array<Decoded, 4>;
                for (var c = 0u; c < 4u; c++) {
                    columns[c] = decoded(words[c]);
                }
                for (var r = 0u; r < ROWS; r++) {
                    let row = decoded(rows[r][s]);
                    for (var c = 0u; c < 4u; c++) {
                        partials[r][c] = dot_add(partials[r][c], row, columns[c]);
                    }
                }
            }
        }
        let steps = steps_b(above + block, j0 / 4u);
        for (var r = 0u; r < ROWS; r++) {
            let step_of_row = step_a(numbers[r], block);
            for (var c = 0u; c < 4u; c++) {
                let scaled = partial_value(partials[r][c]) * step_of_row;
                sums[r][c] = joined(sums[r][c], scaled, steps[c]);
            }
        }
    }
    for (var r = 0u; r < ROWS; r++) {
        if (i0 + r < M) {
            store4(numbers[r], j0, sums[r]);
        }
    }
}
