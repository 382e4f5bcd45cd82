// C = A·B for int8 operands with a block of 8 x 4 entries of C in each thread's registers: exact
// integers, then scaled. A workgroup of 8 x 8 threads covers 64 x 32 entries.
// a: M x LDA/4 words, four consecutive k each; b: LDA/4 x LDB words, likewise; c: M x LDC f32.
@group(0) @binding(0) var<storage, read> a: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read> b: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read_write> c: array<vec4<f32>>;

const ROWS: u32 = 8u; // of C, a thread

fn dot4x4(a: u32, b: vec4<u32>) -> vec4<i32> {
    return vec4<i32>(
        dot4I8Packed(a, b.x),
        dot4I8Packed(a, b.y),
        dot4I8Packed(a, b.z),
        dot4I8Packed(a, b.w),
    );
}

@compute @workgroup_size(8, 8)
fn multiply(@builtin(global_invocation_id) id: vec3<u32>) {
    let i0 = id.y * ROWS;
    let j0 = id.x * 4u;
    if (i0 >= M || j0 >= N) {
        return;
    }
    let words = LDA / 4u;
    var joined: array<array<vec2<u32>, 4>, ROWS>;
    var sums: array<vec4<i32>, ROWS>;
    for (var first = 0u; first < words; first += CHUNK_WORDS) {
        for (var r = 0u; r < ROWS; r++) {
            sums[r] = vec4<i32>(0);
        }
        let last = min(first + CHUNK_WORDS, words);
        for (var word = first; word < last; word += WORDS) {
            var rows: array<vec4<u32>, ROWS>;
            for (var r = 0u; r < ROWS; r++) {
                rows[r] = a[(min(i0 + r, M - 1u) * words + word) / 4u];
            }
            for (var s = 0u; s < WORDS; s++) {
                let columns = b[((word + s) * LDB + j0) / 4u];
                for (var r = 0u; r < ROWS; r++) {
                    sums[r] += dot4x4(rows[r][s], columns);
                }
            }
        }
        if (words > CHUNK_WORDS) {
            for (var r = 0u; r < ROWS; r++) {
                for (var column = 0u; column < 4u; column++) {
                    joined[r][column] = join(joined[r][column], sums[r][column]);
                }
            }
        }
    }
    for (var r = 0u; r < ROWS; r++) {
        if (i0 + r < M) {
            var values: vec4<f32>;
            for (var column = 0u; column < 4u; column++) {
                var sum = f32(sums[r][column]);
                if (words > CHUNK_WORDS) {
                    sum = nearest_f32(joined[r][column]);
                }
                values[column] = scaled(sum, i0 + r, min(j0 + column, N - 1u));
            }
            c[((i0 + r) * LDC + j0) / 4u] = values;
        }
    }
}
