// Four scaled numbers to int8, stochastically; column is a multiple of 4.
// Random bits: Philox key (SEED, TRIAL), counter (row, column / 8, 0, stream), half-word column mod 8.
fn quantize4(x: vec4<f32>, row: u32, column: u32, stream: u32) -> vec4<i32> {
    let words = philox4x32(vec4<u32>(row, column >> 3u, 0u, stream), vec2<u32>(SEED, TRIAL));
    return vec4<i32>(
        integer_stochastic(x.x, rounding_bits(words, column), INT8_LIMIT),
        integer_stochastic(x.y, rounding_bits(words, column + 1u), INT8_LIMIT),
        integer_stochastic(x.z, rounding_bits(words, column + 2u), INT8_LIMIT),
        integer_stochastic(x.w, rounding_bits(words, column + 3u), INT8_LIMIT),
    );
}
