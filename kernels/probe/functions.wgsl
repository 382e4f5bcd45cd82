// The functions that WGSL only bounds in accuracy, one entry point each.
// operands: one case an element, the bits of a and b.
// results: one case an element, the bits of the result in its first word.

@group(0) @binding(0) var<storage, read> operands: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read_write> results: array<vec4<u32>>;

fn answer(at: u32, value: f32) {
    results[at] = vec4<u32>(bitcast<u32>(value), 0u, 0u, 0u);
}

@compute @workgroup_size(64)
fn divide(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= arrayLength(&operands)) { return; }
    let x = bitcast<vec4<f32>>(operands[id.x]);
    answer(id.x, x.x / x.y);
}

@compute @workgroup_size(64)
fn square_root(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= arrayLength(&operands)) { return; }
    answer(id.x, sqrt(bitcast<vec4<f32>>(operands[id.x]).x));
}

@compute @workgroup_size(64)
fn exponential(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= arrayLength(&operands)) { return; }
    answer(id.x, exp(bitcast<vec4<f32>>(operands[id.x]).x));
}

@compute @workgroup_size(64)
fn logarithm(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= arrayLength(&operands)) { return; }
    answer(id.x, log(bitcast<vec4<f32>>(operands[id.x]).x));
}
