// Four product-adds of f32 as pairs of f16, x = hi + lo / 2048: hi·hi into one f32 sum, hi·lo + lo·hi
// into another, joined at the end. lo·lo / 2^22 is left out. A product of two f16 is exact in f32.
// Method: Ootomo, Yokota, "Recovering single precision accuracy from Tensor Cores while surpassing the
// FP32 theoretical peak performance", arXiv:2203.03341 (2022).
fn accumulate4(acc: Sum4, a: vec2<f32>, b: Pair4) -> Sum4 {
    let hi = vec4<f32>(a.x);
    let lo = vec4<f32>(a.y);
    return Pair4(fma(hi, b.hi, acc.hi), fma(hi, b.lo, fma(lo, b.hi, acc.lo)));
}

fn finished(sum: Sum4, carry: vec4<i32>, i: u32, j: u32) -> vec4<f32> {
    return fma(sum.lo, vec4<f32>(1.0 / 2048.0), sum.hi);
}
