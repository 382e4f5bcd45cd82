// C in f32, one column a thread.
// c: M x LDC f32.
@group(0) @binding(2) var<storage, read_write> c: array<f32>;

const COLUMNS: u32 = 1u;

fn store(i: u32, j: u32, values: vec2<f32>) {
    c[i * LDC + j] = values.x;
}
