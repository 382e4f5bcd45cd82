// Four product-adds of f32 as triples of bf16, x = x0 + x1 + x2: of the nine products the six leading
// ones, x0·y0 into one f32 sum, the others, the smallest first, into another, joined at the end. A
// product of two bf16 is exact in f32. No two neighbours in the chain share a factor, for a compiler may
// turn a·b + (a·c + d) into a·(b + c) + d, and lavapipe does.
// Method: Henry, Tang, Heinecke, "Leveraging the bfloat16 artificial intelligence datatype for
// higher-precision computations", arXiv:1904.06376 (2019).
fn accumulate4(acc: Sum4, a: vec3<f32>, b: B4) -> Sum4 {
    let x0 = vec4<f32>(a.x);
    let x1 = vec4<f32>(a.y);
    let x2 = vec4<f32>(a.z);
    let smallest = fma(x2, b.y0, fma(x0, b.y2, fma(x1, b.y1, acc.lo)));
    return Pair4(fma(x0, b.y0, acc.hi), fma(x1, b.y0, fma(x0, b.y1, smallest)));
}

fn finished(sum: Sum4, carry: vec4<i32>, i: u32, j: u32) -> vec4<f32> {
    return sum.hi + sum.lo;
}
