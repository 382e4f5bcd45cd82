// C in f16, two columns a thread, since two share a 32-bit word (the lower half first).
// c: M x LDC f16.
@group(0) @binding(2) var<storage, read_write> c: array<u32>;

const COLUMNS: u32 = 2u;

fn store(i: u32, j: u32, values: vec2<f32>) {
    c[(i * LDC + j) >> 1u] = f16_pack(values.x) | (f16_pack(values.y) << 16u);
}
