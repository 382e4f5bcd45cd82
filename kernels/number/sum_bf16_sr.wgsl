// A bf16 sum, rounded stochastically, as an f32.
fn sum_stochastic(x: f32, random: u32) -> f32 {
    return bitcast<f32>(bf16_stochastic(x, random) << 16u);
}
