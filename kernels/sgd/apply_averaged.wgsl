// As apply.wgsl; and from step AVERAGED_FROM on what was stored is added to its sum, whose mean over
// the steps is the averaged model (Polyak, Juditsky 1992). A sum is an unevaluated pair of f32, about
// 48 bits, since WGSL has no f64: exact for fixed-point and f16 models, unless they are very many.
//
// sums: the upper parts, OUTPUTS x GROUPS, then the lower parts.
// Needs shared/two_sum.wgsl.

override AVERAGED_FROM: u32;

@group(0) @binding(6) var<storage, read_write> sums_of_models: array<vec4<f32>>;

fn apply(output: u32, group: u32, g: vec4<f32>) {
    let w = load_w4(output, group);
    let decayed = fma(vec4<f32>(-step.decay), w, w);
    let updated = fma(vec4<f32>(-step.rate), g, decayed);
    let stored = encode_model(updated, output, group);
    let at = output * GROUPS + group;
    model[at] = stored;
    if step.step + advance >= AVERAGED_FROM {
        add_to_sum(at, decode_model(stored));
    }
}

fn add_to_sum(at: u32, w: vec4<f32>) {
    let lower = OUTPUTS * GROUPS + at;
    let sum = two_sum(sums_of_models[at], w);
    let renewed = two_sum(sum.hi, sums_of_models[lower] + sum.lo);
    sums_of_models[at] = renewed.hi;
    sums_of_models[lower] = renewed.lo;
}
