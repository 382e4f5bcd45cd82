// Derivative in z of ln(1 + exp z) - y z: sigma(z) - y, with z = product * scale.
//
// sigma(|z|) = 1 / (1 + e) and sigma(-|z|) = e / (1 + e) with e = exp(-|z|), |z| cut at 80.
// Needs exponential.wgsl and shared/reciprocal.wgsl.
// No constant is added to a sum: Mesa makes (a + b) + 1 into a + (b + 1).

fn residual_of(product: f32, scale: f32, y: f32) -> f32 {
    let z = bitcast<u32>(product * scale);
    let e = exp_negative(min(bitcast<f32>(z & 0x7fffffffu), 80.0));
    return fma(select(e, 1.0, (z & 0x80000000u) == 0u), reciprocal(1.0 + e), -y);
}
