// Operands that are pairs of f32, the upper part first, four neighbours of a row at a time; with
// pairs_x4.wgsl.
// a: M x LDA pairs, b: LDK x LDB pairs; transposed LDK x LDA, N x LDB.
@group(0) @binding(0) var<storage, read> a: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> b: array<vec4<f32>>;

fn four_of_a(at: u32) -> A4 {
    let x = a[at >> 1u];
    let y = a[(at >> 1u) + 1u];
    return A4(x.xy, x.zw, y.xy, y.zw);
}

fn four_of_b(at: u32) -> A4 {
    let x = b[at >> 1u];
    let y = b[(at >> 1u) + 1u];
    return A4(x.xy, x.zw, y.xy, y.zw);
}
