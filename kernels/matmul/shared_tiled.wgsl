// C = A·B with a block of BLOCK_M x BLOCK_N entries of C in each thread's registers and operands staged
// through workgroup memory: a workgroup of THREADS_M x THREADS_N threads loads each number of its
// panels of A and B from storage once. The loads of the next stage are under way while the present one
// is multiplied. Each entry is summed over q = 0, 1, … in order, so it equals `naive` bit for bit where k
// is in one slice.
// Parameters: THREADS_M, THREADS_N, BLOCK_M and BLOCK_N (multiples of 4), DEPTH (product-adds of an
// entry a stage, a multiple of 4; DEPTH · STEP divides 32), STAGES (1, or 2 for a double buffer, which
// saves a barrier), SLICES, SWIZZLE.
// Method: Nath, Tomov, Dongarra, "An improved MAGMA GEMM for Fermi GPUs", IJHPCA 2010.
const TILE_M: u32 = THREADS_M * BLOCK_M;
const TILE_N: u32 = THREADS_N * BLOCK_N;
const THREADS: u32 = THREADS_M * THREADS_N;
const ROWS: u32 = BLOCK_M / 4u; // of four rows, a thread
const VECTORS: u32 = BLOCK_N / 4u; // of four columns, a thread

// A transposed: four rows at one q. A vector more a line keeps writes of one column off one bank.
const LINE_A: u32 = TILE_M / 4u + 1u;
const LINE_B: u32 = TILE_N / 4u;
var<workgroup> panel_a: array<A4, STAGES * DEPTH * LINE_A>;
var<workgroup> panel_b: array<B4, STAGES * DEPTH * LINE_B>;

// What a stage loads: of A, squares of four rows by four of k; of B, vectors of four columns, or, where
// it is stored transposed, squares too. Neighbouring threads load what is neighbouring in storage.
const QUADS: u32 = DEPTH / 4u;
const SQUARES: u32 = TILE_M / 4u * QUADS;
const SQUARES_EACH: u32 = (SQUARES + THREADS - 1u) / THREADS;
const LINES: u32 = DEPTH * LINE_B;
const LINES_EACH: u32 = (LINES + THREADS - 1u) / THREADS;
var<private> squares: array<array<A4, 4>, SQUARES_EACH>;
var<private> lines: array<B4, LINES_EACH>;
const SQUARES_B: u32 = LINE_B * QUADS;
const SQUARES_B_EACH: u32 = (SQUARES_B + THREADS - 1u) / THREADS;
var<private> squares_b: array<array<B4, 4>, SQUARES_B_EACH>;

// Of a square of A: which four rows, and which four of k.
fn place_a(square: u32) -> vec2<u32> {
    if (A_TRANSPOSED) {
        return vec2<u32>(square % (TILE_M / 4u), square / (TILE_M / 4u));
    }
    return vec2<u32>(square / QUADS, square % QUADS);
}

// Of a square of B stored transposed: which four columns, and which four of k.
fn place_b(square: u32) -> vec2<u32> {
    return vec2<u32>(square / QUADS, square % QUADS);
}

// From storage to registers. At an edge the last row or column is read again; A and B end in zeros where
// the last stage leaves K.
fn fetch(p: u32, i0: u32, j0: u32, q: u32, thread: u32) {
    for (var e = 0u; e < SQUARES_EACH; e++) {
        let square = thread + e * THREADS;
        if (square < SQUARES) {
            let at = place_a(square);
            squares[e] = square_a(p, i0 + 4u * at.x, q + 4u * STEP * at.y);
        }
    }
    if (B_TRANSPOSED) {
        for (var e = 0u; e < SQUARES_B_EACH; e++) {
            let square = thread + e * THREADS;
            if (square < SQUARES_B) {
                let at = place_b(square);
                squares_b[e] = square_b(p, q + 4u * STEP * at.y, clamped(j0 + 4u * at.x));
            }
        }
        return;
    }
    for (var e = 0u; e < LINES_EACH; e++) {
        let line = thread + e * THREADS;
        if (line < LINES) {
            lines[e] = line_b(p, q + STEP * (line / LINE_B), clamped(j0 + 4u * (line % LINE_B)));
        }
    }
}

// From registers to the workgroup memory of a stage.
fn keep(stage: u32, thread: u32) {
    for (var e = 0u; e < SQUARES_EACH; e++) {
        let square = thread + e * THREADS;
        if (square < SQUARES) {
            let at = place_a(square);
            let line = stage * DEPTH + 4u * at.y;
            let rows = squares[e];
            let columns = transposed4(rows[0], rows[1], rows[2], rows[3]);
            for (var s = 0u; s < 4u; s++) {
                panel_a[(line + s) * LINE_A + at.x] = columns[s];
            }
        }
    }
    if (B_TRANSPOSED) {
        for (var e = 0u; e < SQUARES_B_EACH; e++) {
            let square = thread + e * THREADS;
            if (square < SQUARES_B) {
                let at = place_b(square);
                let line = stage * DEPTH + 4u * at.y;
                for (var s = 0u; s < 4u; s++) {
                    panel_b[(line + s) * LINE_B + at.x] = squares_b[e][s];
                }
            }
        }
        return;
    }
    for (var e = 0u; e < LINES_EACH; e++) {
        let line = thread + e * THREADS;
        if (line < LINES) {
            panel_b[stage * LINES + line] = lines[e];
        }
    }
}

@compute @workgroup_size(THREADS_N, THREADS_M)
fn multiply(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_id) thread: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
) {
    let part = part_of(id.z);
    let group = swizzled(id, groups);
    let i0 = group.y * TILE_M;
    let j0 = group.x * TILE_N;
    var sums: array<array<Sum4, VECTORS>, BLOCK_M>;
    var carries: array<array<vec4<i32>, VECTORS>, BLOCK_M>;
    var stage = 0u;
    if (part.first < part.last) {
        fetch(part.product, i0, j0, part.first, index);
        keep(stage, index);
    }
    workgroupBarrier();
    for (var q = part.first; q < part.last; q += DEPTH * STEP) {
        if (folds_at(q)) {
            for (var r = 0u; r < BLOCK_M; r++) {
                for (var v = 0u; v < VECTORS; v++) {
                    carries[r][v] = carried(carries[r][v], sums[r][v]);
                    sums[r][v] = rest(sums[r][v]);
                }
            }
        }
        let more = q + DEPTH * STEP < part.last;
        if (more) {
            fetch(part.product, i0, j0, q + DEPTH * STEP, index);
        }
        for (var d = 0u; d < DEPTH; d++) {
            let line = stage * DEPTH + d;
            var a: array<A4, ROWS>;
            for (var r = 0u; r < ROWS; r++) {
                a[r] = panel_a[line * LINE_A + r * THREADS_M + thread.y];
            }
            var b: array<B4, VECTORS>;
            for (var v = 0u; v < VECTORS; v++) {
                b[v] = panel_b[line * LINE_B + v * THREADS_N + thread.x];
            }
            for (var r = 0u; r < BLOCK_M; r++) {
                for (var v = 0u; v < VECTORS; v++) {
                    sums[r][v] = accumulate4(sums[r][v], a[r / 4u][r % 4u], b[v]);
                }
            }
        }
        if (STAGES == 1u) {
            workgroupBarrier();
        }
        stage = (stage + 1u) % STAGES;
        if (more) {
            keep(stage, index);
        }
        workgroupBarrier();
    }
    for (var r = 0u; r < BLOCK_M; r++) {
        let i = i0 + 4u * ((r / 4u) * THREADS_M + thread.y) + r % 4u;
        let row = id.z * M + i; // of all products and slices
        for (var v = 0u; v < VECTORS; v++) {
            let j = j0 + 4u * (v * THREADS_N + thread.x);
            if (i < M && j < N) {
                store4(row, j, finished(sums[r][v], carries[r][v], row, j));
            }
        }
    }
}
