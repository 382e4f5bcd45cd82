// The model W: OUTPUTS rows of GROUPS fours, row-major. One thread updates four coordinates of one
// output, so that no two threads share a word.
// Needs a model_*.wgsl, which gives ModelFour, decode_model and encode_model.

@group(0) @binding(4) var<storage, read_write> model: array<ModelFour>;

// Coordinates 4 group … 4 group + 3 of an output.
fn load_w4(output: u32, group: u32) -> vec4<f32> {
    return decode_model(model[output * GROUPS + group]);
}

// 16 random bits for each coordinate of `group`. One Philox block serves eight coordinates:
// counter (coordinate / 8, output, step, stream), half-word coordinate mod 8.
fn model_random(output: u32, group: u32) -> vec4<u32> {
    let counter = vec4<u32>(group >> 1u, output, step.step + advance, STREAM_MODEL);
    let words = philox4x32(counter, vec2<u32>(step.seed, step.trial));
    let pair = select(words.xy, words.zw, (group & 1u) == 1u);
    return vec4<u32>(pair.x & 0xffffu, pair.x >> 16u, pair.y & 0xffffu, pair.y >> 16u);
}
