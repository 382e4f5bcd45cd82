// Operands that are pairs of an upper and a lower part, four neighbours of a row at a time, stored in
// either way; with the file of their format, which loads four of a row.
alias Element = vec2<f32>;
alias A4 = array<Element, 4>;
alias B4 = Pair;
const STEP: u32 = 1u; // numbers of k a product-add

fn line_of(x: A4) -> B4 {
    return Pair(
        vec4<f32>(x[0].x, x[1].x, x[2].x, x[3].x),
        vec4<f32>(x[0].y, x[1].y, x[2].y, x[3].y),
    );
}

fn all_of(x: Element) -> B4 {
    return Pair(vec4<f32>(x.x), vec4<f32>(x.y));
}

fn first_of(x: B4) -> B4 {
    return Pair(x.hi.xxxx, x.lo.xxxx);
}

fn load_a4(i: u32, q: u32) -> A4 {
    return four_of_a(i * LDA + q);
}

fn load_at4(q: u32, i: u32) -> A4 {
    return four_of_a(q * LDA + i);
}

fn load_b4(q: u32, j: u32) -> B4 {
    return line_of(four_of_b(q * LDB + j));
}

fn load_bt4(j: u32, q: u32) -> A4 {
    return four_of_b(j * LDB + q);
}
