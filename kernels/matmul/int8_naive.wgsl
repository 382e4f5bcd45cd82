// C = A·B for int8 operands: a thread computes one entry of C as an exact integer, then scales it.
// c: BATCH x M rows of LDC f32.
@group(0) @binding(2) var<storage, read_write> c: array<f32>;

fn chunk_sum(p: u32, i: u32, j: u32, first: u32, last: u32) -> i32 {
    var sum = 0;
    for (var word = first; word < last; word++) {
        sum += dot4I8Packed(a_at(p, i, 4u * word), b_at(p, 4u * word, j));
    }
    return sum;
}

@compute @workgroup_size(8, 8)
fn multiply(@builtin(global_invocation_id) id: vec3<u32>) {
    let p = id.z;
    let i = id.y;
    let j = id.x;
    if (i >= M || j >= N) {
        return;
    }
    let row = p * M + i; // of all products
    let words = (K + 3u) / 4u;
    if (words <= CHUNK_WORDS) {
        c[row * LDC + j] = scaled(f32(chunk_sum(p, i, j, 0u, words)), row, j);
        return;
    }
    var sum = vec2<u32>(0u);
    for (var first = 0u; first < words; first += CHUNK_WORDS) {
        sum = join(sum, chunk_sum(p, i, j, first, min(first + CHUNK_WORDS, words)));
    }
    c[row * LDC + j] = scaled(nearest_f32(sum), row, j);
}
