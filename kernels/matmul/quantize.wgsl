// f32 to int8, four consecutive k of one row of A or one column of B to a 32-bit word (the lowest byte
// first), which is what dot4I8Packed reads.
// source: A as M x LDA f32, or B as LDA x LDB f32; maxima: bits of max|x|, one word a scale;
// target_words: A as M x LDA/4 words, B as LDA/4 x LDB words.
override PER_VECTOR: u32; // 1: a scale for each row of A or column of B; 0: one for the matrix
@group(0) @binding(0) var<storage, read> source: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> maxima: array<u32>;
@group(0) @binding(2) var<storage, read_write> target_words: array<u32>;

fn pack(q: vec4<i32>) -> u32 {
    let bytes = vec4<u32>(q) & vec4<u32>(0xffu);
    return bytes.x | (bytes.y << 8u) | (bytes.z << 16u) | (bytes.w << 24u);
}

@compute @workgroup_size(8, 8)
fn of_a(@builtin(global_invocation_id) id: vec3<u32>) {
    let row = id.y;
    let word = id.x;
    if (row >= M || word >= LDA / 4u) {
        return;
    }
    let scaled = source[row * (LDA / 4u) + word] * int8_inverse_step(maxima[row * PER_VECTOR]);
    target_words[row * (LDA / 4u) + word] = pack(quantize4(scaled, row, word * 4u, STREAM_CONVERT_A));
}

// A thread makes the words of four neighbouring columns.
@compute @workgroup_size(8, 8)
fn of_b(@builtin(global_invocation_id) id: vec3<u32>) {
    let word = id.y;
    let column = id.x * 4u;
    if (word >= LDA / 4u || column >= LDB) {
        return;
    }
    var inverse: vec4<f32>;
    for (var c = 0u; c < 4u; c++) {
        inverse[c] = int8_inverse_step(maxima[min(column + c, N - 1u) * PER_VECTOR]);
    }
    var q: array<vec4<i32>, 4>;
    for (var r = 0u; r < 4u; r++) {
        let row = word * 4u + r;
        let scaled = source[(row * LDB + column) / 4u] * inverse;
        q[r] = quantize4(scaled, row, column, STREAM_CONVERT_B);
    }
    for (var c = 0u; c < 4u; c++) {
        target_words[word * LDB + column + c] = pack(vec4<i32>(q[0][c], q[1][c], q[2][c], q[3][c]));
    }
}
