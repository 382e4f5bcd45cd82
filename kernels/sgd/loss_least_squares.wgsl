// Derivative in z of (z - y)^2 / 2, with z = product * scale and scale a power of two.
fn residual_of(product: f32, scale: f32, y: f32) -> f32 {
    return fma(product, scale, -y);
}
