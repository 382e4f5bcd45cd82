// The update of four coordinates of one output: w <- Q((w - decay w) - rate g).
fn apply(output: u32, group: u32, g: vec4<f32>) {
    let w = load_w4(output, group);
    let decayed = fma(vec4<f32>(-step.decay), w, w);
    let updated = fma(vec4<f32>(-step.rate), g, decayed);
    model[output * GROUPS + group] = encode_model(updated, output, group);
}
