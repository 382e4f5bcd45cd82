// Residuals of a minibatch: batch x OUTPUTS.
@group(0) @binding(3) var<storage, read_write> residuals: array<f32>;
