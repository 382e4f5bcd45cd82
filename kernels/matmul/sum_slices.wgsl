// C from the sums of SLICES slices of k: of each entry the halves are added to each other until one sum
// is left, ((s0 + s4) + (s2 + s6)) + ((s1 + s5) + (s3 + s7)) for eight.
// sums: BATCH x SLICES x M rows of LDC f32; c: BATCH x M rows of LDC f32.
// Parameter: SLICES, a power of two.
// Mirror: `add_slices` in src/mirror/matmul.rs.
@group(0) @binding(0) var<storage, read> sums: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> c: array<vec4<f32>>;

@compute @workgroup_size(8, 8)
fn add_slices(@builtin(global_invocation_id) id: vec3<u32>) {
    let vectors = LDC / 4u;
    if (4u * id.x >= N || id.y >= M) {
        return;
    }
    var parts: array<vec4<f32>, SLICES>;
    for (var s = 0u; s < SLICES; s++) {
        parts[s] = sums[((id.z * SLICES + s) * M + id.y) * vectors + id.x];
    }
    for (var half = SLICES / 2u; half > 0u; half /= 2u) {
        for (var s = 0u; s < half; s++) {
            parts[s] += parts[s + half];
        }
    }
    c[(id.z * M + id.y) * vectors + id.x] = parts[0];
}
