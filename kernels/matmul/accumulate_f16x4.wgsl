// Four product-adds with an f16 accumulator and what becomes of their sums, for kernels that compute
// four columns of C at once: fl16(fl32(sum + a·b)), nearest twice. The product of two f16 is exact
// in f32, so fused and unfused fma agree.
alias Sum4 = vec4<f32>;

fn accumulate4(acc: vec4<f32>, a: f32, b: vec4<f32>) -> vec4<f32> {
    let sum = fma(vec4<f32>(a), b, acc);
    return vec4<f32>(f16_nearest(sum.x), f16_nearest(sum.y), f16_nearest(sum.z), f16_nearest(sum.w));
}

// Hooks of sums that may overflow: these never do.
fn folds_at(q: u32) -> bool {
    return false;
}

fn carried(carry: vec4<i32>, sum: Sum4) -> vec4<i32> {
    return carry;
}

fn rest(sum: Sum4) -> Sum4 {
    return sum;
}

fn finished(sum: Sum4, carry: vec4<i32>, i: u32, j: u32) -> vec4<f32> {
    return sum;
}
