// Four product-adds of pairs of f32 (double-single, about 48 bits). Of the four products of parts that
// of the two lower ones is below what is kept. The sum is made a pair again after each step, by TwoSum,
// whatever the order of its parts.
// Method: Dekker, Numerische Mathematik 18 (1971); Joldes, Muller, Popescu, "Tight and rigorous error
// bounds for basic building blocks of double-word arithmetic", ACM TOMS 44 (2017).
fn accumulate4(acc: Sum4, a: vec2<f32>, b: Pair4) -> Sum4 {
    let product = two_product4(vec4<f32>(a.x), b.hi);
    let lower = fma(vec4<f32>(a.y), b.hi, fma(vec4<f32>(a.x), b.lo, product.lo));
    let sum = two_sum4(acc.hi, product.hi);
    return two_sum4(sum.hi, acc.lo + (sum.lo + lower));
}

fn finished(sum: Sum4, carry: vec4<i32>, i: u32, j: u32) -> Pair4 {
    return sum;
}
