// f32 to a format whose numbers share a scale in blocks of 32 along k, WORD consecutive k of one row of A
// or one column of B to a 32-bit word (the lowest bits first). A thread finds the largest magnitude of a
// block, or of four neighbouring ones of B, then rounds its numbers.
// source: A as M x LDA f32, or B as LDA x LDB f32; target_words: A as M x LDA/WORD words, B as
// LDA/WORD x LDB words; scales: A as M x LDA/32, B as LDA/32 x LDB, SCALES_WORD to a word, cleared before.
@group(0) @binding(0) var<storage, read> source: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> target_words: array<u32>;
@group(0) @binding(2) var<storage, read_write> scales: array<atomic<u32>>;

const BLOCK: u32 = 32u;
const WORDS: u32 = BLOCK / WORD; // a block
const BITS: u32 = 32u / WORD; // an element

fn magnitude(x: vec4<f32>) -> vec4<u32> {
    return bitcast<vec4<u32>>(x) & vec4<u32>(0x7fffffffu);
}

fn store_scale(index: u32, stored: u32) {
    let shift = (index % SCALES_WORD) * (32u / SCALES_WORD);
    atomicOr(&scales[index / SCALES_WORD], stored << shift);
}

@compute @workgroup_size(8, 8)
fn of_a(@builtin(global_invocation_id) id: vec3<u32>) {
    let row = id.y;
    let block = id.x;
    if (row >= M || block >= LDA / BLOCK) {
        return;
    }
    let first = row * LDA + block * BLOCK;
    var largest = vec4<u32>(0u);
    for (var v = 0u; v < BLOCK / 4u; v++) {
        largest = max(largest, magnitude(source[first / 4u + v]));
    }
    let one = max(max(largest.x, largest.y), max(largest.z, largest.w));
    store_scale(row * (LDA / BLOCK) + block, scale_stored(one));
    let inverse = scale_inverse(one);
    for (var w = 0u; w < WORDS; w++) {
        var word = 0u;
        for (var e = 0u; e < WORD; e += 4u) {
            let q = w * WORD + e;
            let scaled = source[(first + q) / 4u] * inverse;
            let codes = elements(scaled, row, block * BLOCK + q, STREAM_CONVERT_A);
            let four = codes << vec4<u32>(0u, BITS, 2u * BITS, 3u * BITS);
            word |= (four.x | four.y | four.z | four.w) << (e * BITS);
        }
        target_words[first / WORD + w] = word;
    }
}

@compute @workgroup_size(8, 8)
fn of_b(@builtin(global_invocation_id) id: vec3<u32>) {
    let block = id.y;
    let column = id.x * 4u;
    if (block >= LDA / BLOCK || column >= LDB) {
        return;
    }
    let first = block * BLOCK;
    var largest = vec4<u32>(0u);
    for (var row = first; row < first + BLOCK; row++) {
        largest = max(largest, magnitude(source[(row * LDB + column) / 4u]));
    }
    var inverse: vec4<f32>;
    for (var c = 0u; c < 4u; c++) {
        store_scale(block * LDB + column + c, scale_stored(largest[c]));
        inverse[c] = scale_inverse(largest[c]);
    }
    for (var w = 0u; w < WORDS; w++) {
        var words = vec4<u32>(0u);
        for (var e = 0u; e < WORD; e++) {
            let row = first + w * WORD + e;
            let scaled = source[(row * LDB + column) / 4u] * inverse;
            words |= elements(scaled, row, column, STREAM_CONVERT_B) << vec4<u32>(e * BITS);
        }
        for (var c = 0u; c < 4u; c++) {
            target_words[(block * WORDS + w) * LDB + column + c] = words[c];
        }
    }
}
