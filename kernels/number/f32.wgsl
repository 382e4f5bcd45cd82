// f32 operands, one number at a time.
// a: M x LDA f32, b: LDA x LDB f32.
@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> b: array<f32>;

fn load_a(i: u32, q: u32) -> f32 {
    return a[i * LDA + q];
}

fn load_b(q: u32, j: u32) -> f32 {
    return b[q * LDB + j];
}
