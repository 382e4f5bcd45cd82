// Derivative in z of ln(1 + exp z) - y z: sigma(z) - y, with z = product * scale.
//
// sigma(|z|) = 1 / (1 + e) and sigma(-|z|) = e / (1 + e) with e = exp(-|z|), |z| cut at 80.
// exp: |z| = k ln 2 - t with k whole, e = 2^-k exp t by a polynomial (the coefficients of Cephes'
// expf, Moshier). Needs shared/reciprocal.wgsl.
// Made of fma, additions, multiplications and integer operations alone, so that a mirror can
// follow. k times the leading 9 bits of ln 2 is formed as an integer: two products of k with
// constants could be joined by a compiler into one, and the reduction would lose its accuracy.
// For the like reason no constant is added to a sum: Mesa makes (a + b) + 1 into a + (b + 1).

const LOG2_E: f32 = 1.442695040888963407;
const LN2_HIGH_512: i32 = 355; // 355 / 512 = 0.693359375
const LN2_LOW: f32 = -2.12194440e-4; // ln 2 - 355 / 512

fn residual_of(product: f32, scale: f32, y: f32) -> f32 {
    let z = bitcast<u32>(product * scale);
    let a = min(bitcast<f32>(z & 0x7fffffffu), 80.0);
    let k = floor(fma(a, LOG2_E, 0.5));
    let high = fma(f32(i32(k) * LN2_HIGH_512), 0.001953125, -a);
    let t = fma(k, LN2_LOW, high);
    var p = fma(1.9875691500e-4, t, 1.3981999507e-3);
    p = fma(p, t, 8.3334519073e-3);
    p = fma(p, t, 4.1665795894e-2);
    p = fma(p, t, 1.6666665459e-1);
    p = fma(p, t, 5.0000001201e-1);
    p = fma(p, t, 1.0);
    p = fma(p, t, 1.0);
    let e = bitcast<f32>(bitcast<u32>(p) - (u32(k) << 23u));
    return fma(select(e, 1.0, (z & 0x80000000u) == 0u), reciprocal(1.0 + e), -y);
}
