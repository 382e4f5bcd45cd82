// C in bf16, two columns a thread, since two share a 32-bit word (the lower half first). The values are
// bf16 numbers: the upper half of an f32.
// c: M x LDC bf16.
@group(0) @binding(2) var<storage, read_write> c: array<u32>;

const COLUMNS: u32 = 2u;

fn store(i: u32, j: u32, values: vec2<f32>) {
    let bits = bitcast<vec2<u32>>(values);
    c[(i * LDC + j) >> 1u] = (bits.x >> 16u) | (bits.y & 0xffff0000u);
}
