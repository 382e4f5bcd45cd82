// C in pairs of f32, the upper part first, four neighbours of a row at a time; j is a multiple of 4.
// c: M x LDC pairs.
@group(0) @binding(2) var<storage, read_write> c: array<vec4<f32>>;

fn store4(i: u32, j: u32, values: Pair4) {
    let first = (i * LDC + j) >> 1u;
    c[first] = vec4<f32>(values.hi.x, values.lo.x, values.hi.y, values.lo.y);
    c[first + 1u] = vec4<f32>(values.hi.z, values.lo.z, values.hi.w, values.lo.w);
}
