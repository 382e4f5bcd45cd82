// The update of four coordinates of one output: w <- Q((w - decay w) - rate g).
fn apply(output: u32, group: u32, g: vec4<f32>) {
    let w = load_w4(output, group);
    let decayed = fma(vec4<f32>(-step.decay), w, w);
    let updated = fma(vec4<f32>(-step.rate), g, decayed);
    model[output * GROUPS + group] = encode_model(updated, output, group);
}

// The same for all groups of a thread.
fn apply_all(gradient: Fours, place: Place) {
    var sums = gradient;
    for (var f = 0u; f < FOURS; f++) {
        let group = place.group + f * COLUMNS;
        if group < GROUPS {
            apply(place.output, group, sums[f]);
        }
    }
}
