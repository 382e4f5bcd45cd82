// Whether the errors of sums come out of the two_sum4 of the files before this one: src/gpu/error_free.rs
// chooses the operands and judges the results.
// operands: one case an element, the bits of four numbers; each is taken with the next of the four.
// results: two elements a case: sums, their errors.
@group(0) @binding(1) var<storage, read> operands: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read_write> results: array<vec4<u32>>;

@compute @workgroup_size(64)
fn errors_of_sums(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= arrayLength(&operands)) { return; }
    let x = bitcast<vec4<f32>>(operands[id.x]);
    let sum = two_sum4(x, x.yzwx);
    results[2u * id.x] = bitcast<vec4<u32>>(sum.hi);
    results[2u * id.x + 1u] = bitcast<vec4<u32>>(sum.lo);
}
