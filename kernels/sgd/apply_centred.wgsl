// The update of variance-reduced SGD (Johnson, Zhang 2013) of four coordinates of one output, with z the
// model less the centre, g the sum over the minibatch of changes of residuals times data, and `full`
// the scaled gradient at the centre: w <- Q(centre + (((z - decay z) - full) - rate g)).
fn apply(output: u32, group: u32, g: vec4<f32>) {
    let at = output * GROUPS + group;
    let z = load_offset4(output, group);
    let decayed = fma(vec4<f32>(-step.decay), z, z);
    let full = centre[OUTPUTS * GROUPS + at];
    let moved = fma(vec4<f32>(-step.rate), g, decayed - full);
    model[at] = encode_model(centre[at] + moved, output, group);
}
