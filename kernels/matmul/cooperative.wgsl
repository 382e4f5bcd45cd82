// C = A·B on the device's matrix units: each subgroup of LANES lanes holds FRAGMENTS_M x FRAGMENTS_N
// fragments of SIZE x SIZE entries of C, a workgroup SUBGROUPS_M x SUBGROUPS_N subgroups, and operands
// go through workgroup memory in stages of DEPTH (which divides 32) along k.
// a: M x LDA f16, b: LDA x LDB f16, c: M x LDC of the accumulator's format.
// Parameters: LANES, SUBGROUPS_M, SUBGROUPS_N, FRAGMENTS_M, FRAGMENTS_N, SIZE, DEPTH, SWIZZLE.
//
// In which order a unit sums, and how it rounds on the way, is the device's own: no mirror follows it,
// and the result is held to its bound, and to the exact product of small integers. Where a workgroup's
// subgroups are not of LANES lanes, nothing is written: the case is then found wrong, for C held NaN before.
// In naga, coopLoadT and coopStoreT are the row-major ones; FragmentA, FragmentB, FragmentC and Sum are
// the device's shapes and types, in a file of their own.
enable f16;
enable wgpu_cooperative_matrix;

@group(0) @binding(0) var<storage, read> a: array<vec4<f16>>;
@group(0) @binding(1) var<storage, read> b: array<vec4<f16>>;
@group(0) @binding(2) var<storage, read_write> c: array<Sum>;

const SUBGROUPS: u32 = SUBGROUPS_M * SUBGROUPS_N;
const THREADS: u32 = LANES * SUBGROUPS;
const TILE_M: u32 = SUBGROUPS_M * FRAGMENTS_M * SIZE;
const TILE_N: u32 = SUBGROUPS_N * FRAGMENTS_N * SIZE;

// Eight numbers more a line, so that a column of a fragment does not lie in few banks.
const LINE_A: u32 = DEPTH + 8u;
const LINE_B: u32 = TILE_N + 8u;
var<workgroup> panel_a: array<f16, TILE_M * LINE_A>;
var<workgroup> panel_b: array<f16, DEPTH * LINE_B>;
var<workgroup> results: array<Sum, SUBGROUPS * SIZE * SIZE>;

// What a stage loads, in vectors of four numbers.
const ROW_A: u32 = DEPTH / 4u;
const ROW_B: u32 = TILE_N / 4u;
const VECTORS_A: u32 = TILE_M * ROW_A;
const VECTORS_B: u32 = DEPTH * ROW_B;
const EACH_A: u32 = (VECTORS_A + THREADS - 1u) / THREADS;
const EACH_B: u32 = (VECTORS_B + THREADS - 1u) / THREADS;
var<private> fetched_a: array<vec4<f16>, EACH_A>;
var<private> fetched_b: array<vec4<f16>, EACH_B>;

// From storage to registers; at an edge the last row or column is read again.
fn fetch(i0: u32, j0: u32, q: u32, thread: u32) {
    for (var e = 0u; e < EACH_A; e++) {
        let vector = thread + e * THREADS;
        if (vector < VECTORS_A) {
            let i = min(i0 + vector / ROW_A, M - 1u);
            fetched_a[e] = a[(i * LDA + q) / 4u + vector % ROW_A];
        }
    }
    for (var e = 0u; e < EACH_B; e++) {
        let vector = thread + e * THREADS;
        if (vector < VECTORS_B) {
            let j = min(j0 + 4u * (vector % ROW_B), LDB - 4u);
            fetched_b[e] = b[((q + vector / ROW_B) * LDB + j) / 4u];
        }
    }
}

// From registers to workgroup memory.
fn keep(thread: u32) {
    for (var e = 0u; e < EACH_A; e++) {
        let vector = thread + e * THREADS;
        if (vector < VECTORS_A) {
            let first = (vector / ROW_A) * LINE_A + 4u * (vector % ROW_A);
            for (var s = 0u; s < 4u; s++) {
                panel_a[first + s] = fetched_a[e][s];
            }
        }
    }
    for (var e = 0u; e < EACH_B; e++) {
        let vector = thread + e * THREADS;
        if (vector < VECTORS_B) {
            let first = (vector / ROW_B) * LINE_B + 4u * (vector % ROW_B);
            for (var s = 0u; s < 4u; s++) {
                panel_b[first + s] = fetched_b[e][s];
            }
        }
    }
}

@compute @workgroup_size(THREADS)
fn multiply(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
    @builtin(subgroup_invocation_id) lane: u32,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(subgroup_size) lanes: u32,
    @builtin(num_subgroups) subgroups: u32,
) {
    // All subgroups go the whole way, for each barrier and each fragment needs all of them.
    let is_whole = lanes == LANES && subgroups == SUBGROUPS;
    let rank = min(subgroup, SUBGROUPS - 1u);
    let group = swizzled(id, groups);
    let i0 = group.y * TILE_M;
    let j0 = group.x * TILE_N;
    // Of this subgroup, in the panels.
    let row0 = (rank / SUBGROUPS_N) * FRAGMENTS_M * SIZE;
    let column0 = (rank % SUBGROUPS_N) * FRAGMENTS_N * SIZE;
    var sums: array<array<FragmentC, FRAGMENTS_N>, FRAGMENTS_M>;
    fetch(i0, j0, 0u, thread);
    for (var q = 0u; q < K; q += DEPTH) {
        keep(thread);
        workgroupBarrier();
        if (q + DEPTH < K) {
            fetch(i0, j0, q + DEPTH, thread);
        }
        for (var d = 0u; d < DEPTH; d += SIZE) {
            var right: array<FragmentB, FRAGMENTS_N>;
            for (var v = 0u; v < FRAGMENTS_N; v++) {
                let first = d * LINE_B + column0 + v * SIZE;
                right[v] = coopLoadT<FragmentB>(&panel_b[first], LINE_B);
            }
            for (var r = 0u; r < FRAGMENTS_M; r++) {
                let first = (row0 + r * SIZE) * LINE_A + d;
                let left = coopLoadT<FragmentA>(&panel_a[first], LINE_A);
                for (var v = 0u; v < FRAGMENTS_N; v++) {
                    sums[r][v] = coopMultiplyAdd(left, right[v], sums[r][v]);
                }
            }
        }
        workgroupBarrier();
    }
    // Through workgroup memory, since a fragment may hang over the edge of C.
    let mine = rank * SIZE * SIZE;
    for (var r = 0u; r < FRAGMENTS_M; r++) {
        for (var v = 0u; v < FRAGMENTS_N; v++) {
            coopStoreT(sums[r][v], &results[mine], SIZE);
            workgroupBarrier();
            for (var e = lane; e < SIZE * SIZE; e += LANES) {
                let i = i0 + row0 + r * SIZE + e / SIZE;
                let j = j0 + column0 + v * SIZE + e % SIZE;
                if (is_whole && i < M && j < N) {
                    c[i * LDC + j] = results[mine + e];
                }
            }
            workgroupBarrier();
        }
    }
}
