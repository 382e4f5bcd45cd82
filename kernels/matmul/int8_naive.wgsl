// C = A·B for int8 operands: a thread computes one entry of C as an exact integer, then scales it.
// a: M x LDA/4 words, four consecutive k each; b: LDA/4 x LDB words, likewise; c: M x LDC f32.
@group(0) @binding(0) var<storage, read> a: array<u32>;
@group(0) @binding(1) var<storage, read> b: array<u32>;
@group(0) @binding(2) var<storage, read_write> c: array<f32>;

fn chunk_sum(i: u32, j: u32, first: u32, last: u32) -> i32 {
    var sum = 0;
    for (var word = first; word < last; word++) {
        sum += dot4I8Packed(a[i * (LDA / 4u) + word], b[word * LDB + j]);
    }
    return sum;
}

@compute @workgroup_size(8, 8)
fn multiply(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = id.y;
    let j = id.x;
    if (i >= M || j >= N) {
        return;
    }
    let words = (K + 3u) / 4u;
    if (words <= CHUNK_WORDS) {
        c[i * LDC + j] = scaled(f32(chunk_sum(i, j, 0u, words)), i, j);
        return;
    }
    var sum = vec2<u32>(0u);
    for (var first = 0u; first < words; first += CHUNK_WORDS) {
        sum = join(sum, chunk_sum(i, j, first, min(first + CHUNK_WORDS, words)));
    }
    c[i * LDC + j] = scaled(nearest_f32(sum), i, j);
}
