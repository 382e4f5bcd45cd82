// One product-add in f32: acc + a·b by fma, fused or not as the device does it.
fn accumulate(acc: f32, a: f32, b: f32, i: u32, j: u32, q: u32) -> f32 {
    return fma(a, b, acc);
}

fn accumulate4(acc: vec4<f32>, a: f32, b: vec4<f32>) -> vec4<f32> {
    return fma(vec4<f32>(a), b, acc);
}
