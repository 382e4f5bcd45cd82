// C = A·B for operands that share scales in blocks of 32 along k, the readable kernel: a thread computes
// one entry of C, block after block.
// a: M x LDA/WORD words, WORD consecutive k each; b: LDA/WORD x LDB words, likewise; c: M x LDC f32; each
// BATCH times.
@group(0) @binding(0) var<storage, read> a: array<u32>;
@group(0) @binding(1) var<storage, read> b: array<u32>;

@compute @workgroup_size(8, 8)
fn multiply(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = id.y;
    let j = id.x;
    if (i >= M || j >= N) {
        return;
    }
    let row = id.z * M + i; // of all products
    let above = id.z * (LDA / BLOCK); // blocks of B
    var sum = 0.0;
    for (var block = 0u; block < (K + BLOCK - 1u) / BLOCK; block++) {
        var partial = Partial();
        for (var w = 0u; w < WORDS; w++) {
            let of_a = a[row * (LDA / WORD) + block * WORDS + w];
            let of_b = b[((above + block) * WORDS + w) * LDB + j];
            partial = dot_add(partial, decoded(of_a), decoded(of_b));
        }
        let scaled = partial_value(partial) * step_a(row, block);
        sum = joined(sum, scaled, step_b(above + block, j));
    }
    store(row, j, vec2<f32>(sum, 0.0));
}
