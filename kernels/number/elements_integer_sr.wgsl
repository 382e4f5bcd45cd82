// Four scaled numbers to integer elements of magnitude at most ELEMENT_LIMIT, stochastically, in as
// many bits as an element has: of one row from a column on that is a multiple of 4, or of one column from a
// row on.
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

fn elements_of_rows(x: vec4<f32>, row: u32, column: u32, stream: u32) -> vec4<u32> {
    var q: vec4<i32>;
    for (var c = 0u; c < 4u; c++) {
        let counter = vec4<u32>(row + c, column >> 3u, 0u, stream);
        let words = philox4x32(counter, vec2<u32>(SEED, TRIAL));
        q[c] = integer_stochastic(x[c], rounding_bits(words, column), ELEMENT_LIMIT);
    }
    return bitcast<vec4<u32>>(q) & vec4<u32>(ELEMENT_MASK);
}
