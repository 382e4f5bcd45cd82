// One product-add in f32: acc + a·b by fma, fused or not as the device does it.
fn accumulate(acc: f32, a: f32, b: f32, i: u32, j: u32, q: u32) -> f32 {
    return fma(a, b, acc);
}
