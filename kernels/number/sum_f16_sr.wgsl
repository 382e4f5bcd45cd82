// An f16 sum, rounded stochastically, as an f32.
fn sum_stochastic(x: f32, random: u32) -> f32 {
    return f16_stochastic(x, random);
}
