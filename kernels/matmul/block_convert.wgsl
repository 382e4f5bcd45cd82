// f32 to a format whose numbers share a scale in blocks of 32 along k, WORD consecutive k of one row of A
// or one column of B (a vector) to a 32-bit word (the lowest bits first). A thread finds the largest
// magnitude of a block of one vector, or of four neighbouring ones, then rounds its numbers. However A
// and B are stored, the words lie as the product reads them.
// source: a stack of BATCH matrices in rows of SOURCE_LD f32, of VECTORS vectors each; target_words: A as
// M x LDK/WORD words, B as LDK/WORD x LDB words; scales: A as M x LDK/32, B as LDK/32 x LDB, SCALES_WORD
// to a word, cleared before; each BATCH times, one matrix above the other.
// Random bits: of row and column of A or B as they are multiplied, rows of B LDK to a product.
override SOURCE_LD: u32;
override OF_B: bool;
override VECTORS: u32; // M or N
override WRITTEN: u32; // vectors of a matrix that have room in target_words
@group(0) @binding(0) var<storage, read> source: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> target_words: array<u32>;
@group(0) @binding(2) var<storage, read_write> scales: array<atomic<u32>>;

const BLOCK: u32 = 32u;
const WORDS: u32 = BLOCK / WORD; // a block
const BITS: u32 = 32u / WORD; // an element

fn magnitude(x: vec4<f32>) -> vec4<u32> {
    return bitcast<vec4<u32>>(x) & vec4<u32>(0x7fffffffu);
}

// Scales of vector v of product p.
fn store_scale(p: u32, v: u32, block: u32, stored: u32) {
    let blocks = LDK / BLOCK;
    let index = select((p * M + v) * blocks + block, (p * blocks + block) * LDB + v, OF_B);
    let shift = (index % SCALES_WORD) * (32u / SCALES_WORD);
    atomicOr(&scales[index / SCALES_WORD], stored << shift);
}

fn store_word(p: u32, v: u32, w: u32, word: u32) {
    let words = LDK / WORD;
    target_words[select((p * M + v) * words + w, (p * words + w) * LDB + v, OF_B)] = word;
}

fn stream() -> u32 {
    return select(STREAM_CONVERT_A, STREAM_CONVERT_B, OF_B);
}

// k goes along the rows of source.
@compute @workgroup_size(8, 8)
fn along(@builtin(global_invocation_id) id: vec3<u32>) {
    let row = id.y;
    let block = id.x;
    if (row >= BATCH * VECTORS || block >= LDK / BLOCK) {
        return;
    }
    let p = row / VECTORS;
    let v = row % VECTORS;
    let first = row * SOURCE_LD + block * BLOCK;
    var largest = vec4<u32>(0u);
    for (var x = 0u; x < BLOCK / 4u; x++) {
        largest = max(largest, magnitude(source[first / 4u + x]));
    }
    let one = max(max(largest.x, largest.y), max(largest.z, largest.w));
    store_scale(p, v, block, scale_stored(one));
    let inverse = scale_inverse(one);
    for (var w = 0u; w < WORDS; w++) {
        var word = 0u;
        for (var e = 0u; e < WORD; e += 4u) {
            let q = block * BLOCK + w * WORD + e;
            let scaled = source[(row * SOURCE_LD + q) / 4u] * inverse;
            var codes: vec4<u32>;
            if (OF_B) {
                codes = elements_of_rows(scaled, p * LDK + q, v, stream());
            } else {
                codes = elements(scaled, row, q, stream());
            }
            let four = codes << vec4<u32>(0u, BITS, 2u * BITS, 3u * BITS);
            word |= (four.x | four.y | four.z | four.w) << (e * BITS);
        }
        store_word(p, v, block * WORDS + w, word);
    }
}

// k goes across the rows of source. A thread takes four vectors.
@compute @workgroup_size(8, 8)
fn across(@builtin(global_invocation_id) id: vec3<u32>) {
    let p = id.y / (LDK / BLOCK);
    let block = id.y % (LDK / BLOCK);
    let v = id.x * 4u;
    if (p >= BATCH || v >= SOURCE_LD) {
        return;
    }
    let first = p * LDK + block * BLOCK;
    var largest = vec4<u32>(0u);
    for (var row = first; row < first + BLOCK; row++) {
        largest = max(largest, magnitude(source[(row * SOURCE_LD + v) / 4u]));
    }
    var inverse: vec4<f32>;
    for (var c = 0u; c < 4u; c++) {
        if (v + c < WRITTEN) {
            store_scale(p, v + c, block, scale_stored(largest[c]));
        }
        inverse[c] = scale_inverse(largest[c]);
    }
    for (var w = 0u; w < WORDS; w++) {
        var words = vec4<u32>(0u);
        for (var e = 0u; e < WORD; e++) {
            let q = block * BLOCK + w * WORD + e;
            let scaled = source[((p * LDK + q) * SOURCE_LD + v) / 4u] * inverse;
            var codes: vec4<u32>;
            if (OF_B) {
                codes = elements(scaled, p * LDK + q, v, stream());
            } else {
                codes = elements_of_rows(scaled, p * M + v, q, stream());
            }
            words |= codes << vec4<u32>(e * BITS);
        }
        for (var c = 0u; c < 4u; c++) {
            if (v + c < WRITTEN) {
                store_word(p, v + c, block * WORDS + w, words[c]);
            }
        }
    }
}
