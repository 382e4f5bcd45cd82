// f32 to int8, four consecutive k of one row of A or one column of B to a 32-bit word (the lowest byte
// first), which is what dot4I8Packed reads.
// source: a stack of matrices, ROWS x LD f32, of which COLUMNS are used, SLAB rows a matrix; maxima: bits
// of max|x|, one word a scale; target_words: ROWS x LD/4 words where rows go along k, ROWS/4 x LD where
// columns do.
// Random bits: of the place in the stack as it is stored, padding included.
override ROWS: u32;
override COLUMNS: u32;
override LD: u32;
override SLAB: u32;
override STREAM: u32; // of the random bits: STREAM_CONVERT_A or STREAM_CONVERT_B
override PER_VECTOR: u32; // 1: a scale for each row of A or column of B; 0: one for all
@group(0) @binding(0) var<storage, read> source: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> maxima: array<u32>;
@group(0) @binding(2) var<storage, read_write> target_words: array<u32>;

fn pack(q: vec4<i32>) -> u32 {
    let bytes = vec4<u32>(q) & vec4<u32>(0xffu);
    return bytes.x | (bytes.y << 8u) | (bytes.z << 16u) | (bytes.w << 24u);
}

// Rows go along k.
@compute @workgroup_size(8, 8)
fn of_rows(@builtin(global_invocation_id) id: vec3<u32>) {
    let row = id.y;
    let word = id.x;
    if (row >= ROWS || word >= LD / 4u) {
        return;
    }
    let scaled = source[row * (LD / 4u) + word] * int8_inverse_step(maxima[row * PER_VECTOR]);
    target_words[row * (LD / 4u) + word] = pack(quantize4(scaled, row, word * 4u, STREAM));
}

// Columns go along k. A thread makes the words of four neighbours.
@compute @workgroup_size(8, 8)
fn of_columns(@builtin(global_invocation_id) id: vec3<u32>) {
    let word = id.y;
    let column = id.x * 4u;
    if (word >= ROWS / 4u || column >= LD) {
        return;
    }
    let first = word * 4u / SLAB * COLUMNS; // of this matrix's columns, among all
    var inverse: vec4<f32>;
    for (var c = 0u; c < 4u; c++) {
        inverse[c] = int8_inverse_step(maxima[(first + min(column + c, COLUMNS - 1u)) * PER_VECTOR]);
    }
    var q: array<vec4<i32>, 4>;
    for (var r = 0u; r < 4u; r++) {
        let row = word * 4u + r;
        let scaled = source[(row * LD + column) / 4u] * inverse;
        q[r] = quantize4(scaled, row, column, STREAM);
    }
    for (var c = 0u; c < 4u; c++) {
        target_words[word * LD + column + c] = pack(vec4<i32>(q[0][c], q[1][c], q[2][c], q[3][c]));
    }
}
