// f64 operands, four neighbours of a row at a time. Needs SHADER_F64.
// a: M x LDA f64, b: LDK x LDB f64.
@group(0) @binding(0) var<storage, read> a: array<vec4<f64>>;
@group(0) @binding(1) var<storage, read> b: array<vec4<f64>>;

alias A4 = vec4<f64>;
alias B4 = vec4<f64>;
const STEP: u32 = 1u; // numbers of k a product-add

fn load_a4(i: u32, q: u32) -> vec4<f64> {
    return a[(i * LDA + q) >> 2u];
}

fn load_b4(q: u32, j: u32) -> vec4<f64> {
    return b[(q * LDB + j) >> 2u];
}
