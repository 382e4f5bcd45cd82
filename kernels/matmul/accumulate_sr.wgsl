// One product-add with a 16-bit accumulator, rounded stochastically: SR(fl32(acc + a·b)).
// Random bits: Philox key (SEED, TRIAL), counter (i, j, q / 8, STREAM_ACCUMULATE), half-word q mod 8.
var<private> random_words: vec4<u32>;

fn accumulate(acc: f32, a: f32, b: f32, i: u32, j: u32, q: u32) -> f32 {
    if ((q & 7u) == 0u) {
        random_words = philox4x32(vec4<u32>(i, j, q >> 3u, STREAM_ACCUMULATE), vec2<u32>(SEED, TRIAL));
    }
    return sum_stochastic(fma(a, b, acc), rounding_bits(random_words, q));
}
