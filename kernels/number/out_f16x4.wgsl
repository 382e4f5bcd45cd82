// C in f16, four neighbours of a row at a time; j is a multiple of 4.
// c: M x LDC f16, two a 32-bit word (the lower half first).
@group(0) @binding(2) var<storage, read_write> c: array<vec2<u32>>;

fn store4(i: u32, j: u32, values: vec4<f32>) {
    c[(i * LDC + j) >> 2u] = vec2<u32>(
        f16_pack(values.x) | (f16_pack(values.y) << 16u),
        f16_pack(values.z) | (f16_pack(values.w) << 16u),
    );
}
