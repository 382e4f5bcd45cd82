// C in bf16, four neighbours of a row at a time; j is a multiple of 4. The values are bf16 numbers: the
// upper half of an f32.
// c: M x LDC bf16, two a 32-bit word (the lower half first).
@group(0) @binding(2) var<storage, read_write> c: array<vec2<u32>>;

fn store4(i: u32, j: u32, values: vec4<f32>) {
    let bits = bitcast<vec4<u32>>(values);
    c[(i * LDC + j) >> 2u] = (bits.xz >> vec2<u32>(16u)) | (bits.yw & vec2<u32>(0xffff0000u));
}
