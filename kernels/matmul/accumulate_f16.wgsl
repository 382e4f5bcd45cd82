// One product-add with an f16 accumulator: fl16(fl32(acc + a·b)), nearest twice. The product of two
// f16 is exact in f32, so fused and unfused fma agree.
fn accumulate(acc: f32, a: f32, b: f32, i: u32, j: u32, q: u32) -> f32 {
    return f16_nearest(fma(a, b, acc));
}

fn accumulate4(acc: vec4<f32>, a: f32, b: vec4<f32>) -> vec4<f32> {
    let sum = fma(vec4<f32>(a), b, acc);
    return vec4<f32>(f16_nearest(sum.x), f16_nearest(sum.y), f16_nearest(sum.z), f16_nearest(sum.w));
}
