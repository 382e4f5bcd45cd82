// C = A·B by one subgroup a workgroup: LANES lanes hold a block of ROWS rows and VECTORS x LANES x 4
// columns of C in their registers. Each lane loads four words of one row of A, and each word goes to
// all lanes by a shuffle from a lane that is the same for all: no workgroup memory, no barrier, and no
// storage load of a word that another lane has loaded. Each entry is summed over q = 0, 1, … in order,
// so it equals `naive` bit for bit.
// Parameters: LANES, ROWS, VECTORS, DEPTH (words of A that an iteration takes from each row: 4 or a
// multiple of it, so that ROWS · DEPTH / 4 is a multiple of LANES), GROUP (1, 2 or 4 of these, whose products
// are added before a sum is put back, so that a compiler that keeps the sums in memory moves them less
// often), SWIZZLE.
//
// Where the workgroup turns out to be anything but one whole subgroup of LANES lanes, nothing is
// written: the case is then found wrong, for C held NaN before.
const LOADS: u32 = ROWS * DEPTH / (4u * LANES); // of four words, a lane
const PARTS: u32 = WORD / STEP; // product-adds of a word
const SPLIT: u32 = 4u * LANES; // columns between a lane's vectors

// The words behind the first GROUP ones, come to the front: after all four they are as they were.
fn next_words(words: Words) -> Words {
    if (GROUP == 1u) {
        return words.yzwx;
    }
    if (GROUP == 2u) {
        return words.zwxy;
    }
    return words;
}

@compute @workgroup_size(LANES)
fn multiply(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(subgroup_invocation_id) lane: u32,
    @builtin(subgroup_size) lanes: u32,
    @builtin(num_subgroups) subgroups: u32,
) {
    if (lanes != LANES || subgroups != 1u) {
        return;
    }
    let p = part_of(id.z).product;
    let group = swizzled(id, groups);
    let i0 = group.y * ROWS;
    let j0 = group.x * VECTORS * SPLIT + lane * 4u;
    // At an edge the last row or column is read again, and the result is not stored. A's rows and B
    // end in zeros where the last iteration leaves K.
    var rows: array<u32, LOADS>;
    var ahead: array<u32, LOADS>; // in k
    for (var l = 0u; l < LOADS; l++) {
        rows[l] = p * M + min(i0 + (l * LANES + lane) % ROWS, M - 1u);
        ahead[l] = 4u * WORD * ((l * LANES + lane) / ROWS);
    }
    var columns: array<u32, VECTORS>;
    for (var v = 0u; v < VECTORS; v++) {
        columns[v] = min(j0 + v * SPLIT, LDB - 4u);
    }
    var sums: array<array<Sum4, VECTORS>, ROWS>;
    var carries: array<array<vec4<i32>, VECTORS>, ROWS>;
    for (var q = 0u; q < K; q += DEPTH * WORD) {
        if (folds_at(q)) {
            for (var r = 0u; r < ROWS; r++) {
                for (var v = 0u; v < VECTORS; v++) {
                    carries[r][v] = carried(carries[r][v], sums[r][v]);
                    sums[r][v] = rest(sums[r][v]);
                }
            }
        }
        var a: array<Words, LOADS>;
        for (var l = 0u; l < LOADS; l++) {
            a[l] = load_words(rows[l], q + ahead[l]);
        }
        for (var g = 0u; g < DEPTH / GROUP; g++) {
            // A constant where it can be, since an index that changes sends all words to memory.
            let four = select(g * GROUP / 4u, 0u, DEPTH == 4u);
            var b: array<array<array<B4, PARTS>, GROUP>, VECTORS>;
            for (var v = 0u; v < VECTORS; v++) {
                for (var d = 0u; d < GROUP; d++) {
                    for (var h = 0u; h < PARTS; h++) {
                        let step = (GROUP * g + d) * WORD + h * STEP;
                        b[v][d][h] = load_b4(p * LDK + q + step, columns[v]);
                    }
                }
            }
            for (var r = 0u; r < ROWS; r++) {
                let holder = r + ROWS * four;
                let words = subgroupShuffle(a[holder / LANES], holder % LANES);
                for (var v = 0u; v < VECTORS; v++) {
                    var sum = sums[r][v];
                    for (var d = 0u; d < GROUP; d++) {
                        for (var h = 0u; h < PARTS; h++) {
                            sum = accumulate4(sum, part(words[d], h), b[v][d][h]);
                        }
                    }
                    sums[r][v] = sum;
                }
            }
            for (var l = 0u; l < LOADS; l++) {
                a[l] = next_words(a[l]);
            }
        }
    }
    for (var r = 0u; r < ROWS; r++) {
        let row = p * M + i0 + r; // of all products
        for (var v = 0u; v < VECTORS; v++) {
            let j = j0 + v * SPLIT;
            if (i0 + r < M && j < N) {
                store4(row, j, finished(sums[r][v], carries[r][v], row, j));
            }
        }
    }
}
