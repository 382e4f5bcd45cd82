// Four scaled numbers to integer elements of magnitude at most ELEMENT_LIMIT, stochastically, in as
// many bits as an element has; column is a multiple of 4.
// Random bits: Philox key (SEED, TRIAL), counter (row, column / 8, 0, stream), half-word column mod 8.
const ELEMENT_MASK: u32 = 0xffffffffu >> (32u - 32u / WORD);

fn elements(x: vec4<f32>, row: u32, column: u32, stream: u32) -> vec4<u32> {
    let words = philox4x32(vec4<u32>(row, column >> 3u, 0u, stream), vec2<u32>(SEED, TRIAL));
    let q = vec4<i32>(
        integer_stochastic(x.x, rounding_bits(words, column), ELEMENT_LIMIT),
        integer_stochastic(x.y, rounding_bits(words, column + 1u), ELEMENT_LIMIT),
        integer_stochastic(x.z, rounding_bits(words, column + 2u), ELEMENT_LIMIT),
        integer_stochastic(x.w, rounding_bits(words, column + 3u), ELEMENT_LIMIT),
    );
    return bitcast<vec4<u32>>(q) & vec4<u32>(ELEMENT_MASK);
}
