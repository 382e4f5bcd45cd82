// Operands that are pairs of f32, the upper part first, four neighbours of a row at a time.
// a: M x LDA pairs, b: LDK x LDB pairs.
@group(0) @binding(0) var<storage, read> a: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> b: array<vec4<f32>>;

alias A4 = array<vec2<f32>, 4>;
alias B4 = Pair4;
const STEP: u32 = 1u; // numbers of k a product-add

fn load_a4(i: u32, q: u32) -> A4 {
    let first = (i * LDA + q) >> 1u;
    let x = a[first];
    let y = a[first + 1u];
    return A4(x.xy, x.zw, y.xy, y.zw);
}

fn load_b4(q: u32, j: u32) -> B4 {
    let first = (q * LDB + j) >> 1u;
    let x = b[first];
    let y = b[first + 1u];
    return Pair4(vec4<f32>(x.xz, y.xz), vec4<f32>(x.yw, y.yw));
}
