// C in f64, four neighbours of a row at a time; j is a multiple of 4.
// c: M x LDC f64.
@group(0) @binding(2) var<storage, read_write> c: array<vec4<f64>>;

fn store4(i: u32, j: u32, values: vec4<f64>) {
    c[(i * LDC + j) >> 2u] = values;
}
