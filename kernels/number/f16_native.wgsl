// f16 operands in the device's own type, one number at a time.
// a: M x LDA f16, b: LDA x LDB f16.
enable f16;
@group(0) @binding(0) var<storage, read> a: array<f16>;
@group(0) @binding(1) var<storage, read> b: array<f16>;

fn load_a(i: u32, q: u32) -> f32 {
    return f32(a[i * LDA + q]);
}

fn load_b(q: u32, j: u32) -> f32 {
    return f32(b[q * LDB + j]);
}
