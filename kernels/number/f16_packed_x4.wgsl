// f16 operands as halves of 32-bit words (the lower half first), four neighbours of a row at a time.
// a: M x LDA f16, b: LDA x LDB f16.
@group(0) @binding(0) var<storage, read> a: array<vec2<u32>>;
@group(0) @binding(1) var<storage, read> b: array<vec2<u32>>;

fn load4(words: vec2<u32>) -> vec4<f32> {
    return vec4<f32>(unpack2x16float(words.x), unpack2x16float(words.y));
}

fn load_a4(i: u32, q: u32) -> vec4<f32> {
    return load4(a[(i * LDA + q) >> 2u]);
}

fn load_b4(q: u32, j: u32) -> vec4<f32> {
    return load4(b[(q * LDB + j) >> 2u]);
}
