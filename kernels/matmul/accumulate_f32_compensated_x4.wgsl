// Four compensated product-adds of f32: hi is the plain sum, lo the sum of all that its roundings, and
// those of the products, left. Rounded to f32 once, at the end.
// Method: Ogita, Rump, Oishi, "Accurate sum and dot product", SIAM J. Sci. Comput. 26 (2005), Dot2.
fn accumulate4(acc: Sum4, a: f32, b: vec4<f32>) -> Sum4 {
    let product = two_product4(vec4<f32>(a), b);
    let sum = two_sum4(acc.hi, product.hi);
    return Pair4(sum.hi, acc.lo + (sum.lo + product.lo));
}

fn finished(sum: Sum4, carry: vec4<i32>, i: u32, j: u32) -> vec4<f32> {
    return sum.hi + sum.lo;
}
