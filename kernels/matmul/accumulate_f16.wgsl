// One product-add with an f16 accumulator: fl16(fl32(acc + a·b)), nearest twice. The product of two
// f16 is exact in f32, so fused and unfused fma agree.
fn accumulate(acc: f32, a: f32, b: f32, i: u32, j: u32, q: u32) -> f32 {
    return f16_nearest(fma(a, b, acc));
}
