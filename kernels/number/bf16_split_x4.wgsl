// f32 operands as triples of bf16, x = x0 + x1 + x2, in three planes one behind the other, each of
// halves of 32-bit words (the lower half first); four neighbours of a row at a time, stored in either way.
// a: 3 x BATCH x M x LDA bf16, b: 3 x BATCH x LDK x LDB bf16; transposed LDK x LDA, N x LDB.
@group(0) @binding(0) var<storage, read> a: array<vec2<u32>>;
@group(0) @binding(1) var<storage, read> b: array<vec2<u32>>;

alias Element = vec3<f32>;
alias A4 = array<Element, 4>;
alias B4 = Triple;
const STEP: u32 = 1u; // numbers of k a product-add

fn load4(words: vec2<u32>) -> vec4<f32> {
    let low = words << vec2<u32>(16u);
    let high = words & vec2<u32>(0xffff0000u);
    return bitcast<vec4<f32>>(vec4<u32>(low.x, high.x, low.y, high.y));
}

fn line_of_a(at: u32) -> Triple {
    let plane = numbers_of_a() / 4u;
    let first = at >> 2u;
    return Triple(load4(a[first]), load4(a[first + plane]), load4(a[first + 2u * plane]));
}

fn line_of_b(at: u32) -> Triple {
    let plane = numbers_of_b() / 4u;
    let first = at >> 2u;
    return Triple(load4(b[first]), load4(b[first + plane]), load4(b[first + 2u * plane]));
}

fn numbers_of(line: Triple) -> A4 {
    return A4(
        vec3<f32>(line.x0.x, line.x1.x, line.x2.x),
        vec3<f32>(line.x0.y, line.x1.y, line.x2.y),
        vec3<f32>(line.x0.z, line.x1.z, line.x2.z),
        vec3<f32>(line.x0.w, line.x1.w, line.x2.w),
    );
}

fn line_of(x: A4) -> B4 {
    return Triple(
        vec4<f32>(x[0].x, x[1].x, x[2].x, x[3].x),
        vec4<f32>(x[0].y, x[1].y, x[2].y, x[3].y),
        vec4<f32>(x[0].z, x[1].z, x[2].z, x[3].z),
    );
}

fn all_of(x: Element) -> B4 {
    return Triple(vec4<f32>(x.x), vec4<f32>(x.y), vec4<f32>(x.z));
}

fn first_of(x: B4) -> B4 {
    return Triple(x.x0.xxxx, x.x1.xxxx, x.x2.xxxx);
}

fn load_a4(i: u32, q: u32) -> A4 {
    return numbers_of(line_of_a(i * LDA + q));
}

fn load_at4(q: u32, i: u32) -> A4 {
    return numbers_of(line_of_a(q * LDA + i));
}

fn load_b4(q: u32, j: u32) -> B4 {
    return line_of_b(q * LDB + j);
}

fn load_bt4(j: u32, q: u32) -> A4 {
    return numbers_of(line_of_b(j * LDB + q));
}
