// By how much the logistic residual differs between centre and model, in units of the grid's step
// delta: (sigma(a + b) - sigma(a)) / delta with a the product at the centre, b = delta product.
//
// Subtracting would lose all digits once b is below the roundoff of a. For b >= 0
//     sigma(a + b) - sigma(a) = sigma(-a) sigma(a + b) (1 - exp(-b)),
// and for b < 0 the same with all signs turned. So the result is product sigma sigma phi(|b|) with
// phi(t) = (1 - exp(-t)) / t, which has no cancellation. phi: below 1/2 by its Taylor polynomial of
// degree 7 (the rest is at most 2^-8/9! < 2^-26), above by exp(-t) <= 0.61.
// Made of what loss_logistic.wgsl is made of, for the reasons given there.
// Needs exponential.wgsl, shared/reciprocal.wgsl and centre.wgsl.

fn residual_of(product: f32, scale: f32, at_centre: f32) -> f32 {
    let b = product * grid_step();
    let turn = bitcast<u32>(b) & 0x80000000u;
    let t = bitcast<f32>(bitcast<u32>(b) ^ turn);
    let a = bitcast<f32>(bitcast<u32>(at_centre) ^ turn);
    let c = a + t;
    let both = sigma(-a) * sigma(c);
    return (product * phi(t)) * both;
}

// sigma(z) = 1 / (1 + exp(-z)), relatively accurate at both ends.
fn sigma(z: f32) -> f32 {
    let bits = bitcast<u32>(z);
    let e = exp_negative(min(bitcast<f32>(bits & 0x7fffffffu), 80.0));
    return select(e, 1.0, (bits & 0x80000000u) == 0u) * reciprocal(1.0 + e);
}

fn phi(t: f32) -> f32 {
    var p = fma(-2.4801587e-5, t, 1.9841270e-4);
    p = fma(p, t, -1.3888889e-3);
    p = fma(p, t, 8.3333333e-3);
    p = fma(p, t, -4.1666667e-2);
    p = fma(p, t, 1.6666667e-1);
    p = fma(p, t, -0.5);
    p = fma(p, t, 1.0);
    let far = clamp(t, 0.5, 1.0e30);
    let q = (1.0 - exp_negative(min(far, 80.0))) * reciprocal(far);
    return select(q, p, t < 0.5);
}
