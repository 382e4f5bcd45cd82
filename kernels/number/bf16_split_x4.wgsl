// f32 operands as triples of bf16, x = x0 + x1 + x2, in three planes one behind the other, each of
// halves of 32-bit words (the lower half first); four neighbours of a row at a time.
// a: 3 x BATCH x M x LDA bf16, b: 3 x BATCH x LDK x LDB bf16.
@group(0) @binding(0) var<storage, read> a: array<vec2<u32>>;
@group(0) @binding(1) var<storage, read> b: array<vec2<u32>>;

struct Triple4 {
    y0: vec4<f32>,
    y1: vec4<f32>,
    y2: vec4<f32>,
}

alias A4 = array<vec3<f32>, 4>;
alias B4 = Triple4;
const STEP: u32 = 1u; // numbers of k a product-add
override PLANE_A: u32 = BATCH * M * LDA / 4u; // vectors of four numbers
override PLANE_B: u32 = BATCH * LDK * LDB / 4u;

fn load4(words: vec2<u32>) -> vec4<f32> {
    let low = words << vec2<u32>(16u);
    let high = words & vec2<u32>(0xffff0000u);
    return bitcast<vec4<f32>>(vec4<u32>(low.x, high.x, low.y, high.y));
}

fn load_a4(i: u32, q: u32) -> A4 {
    let first = (i * LDA + q) >> 2u;
    let x0 = load4(a[first]);
    let x1 = load4(a[first + PLANE_A]);
    let x2 = load4(a[first + 2u * PLANE_A]);
    return A4(
        vec3<f32>(x0.x, x1.x, x2.x),
        vec3<f32>(x0.y, x1.y, x2.y),
        vec3<f32>(x0.z, x1.z, x2.z),
        vec3<f32>(x0.w, x1.w, x2.w),
    );
}

fn load_b4(q: u32, j: u32) -> B4 {
    let first = (q * LDB + j) >> 2u;
    return Triple4(load4(b[first]), load4(b[first + PLANE_B]), load4(b[first + 2u * PLANE_B]));
}
