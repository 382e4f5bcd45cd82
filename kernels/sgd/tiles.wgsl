// Partial gradients of a minibatch of more than one tile: tiles x OUTPUTS x GROUPS.
@group(0) @binding(5) var<storage, read_write> tiles: array<vec4<f32>>;
