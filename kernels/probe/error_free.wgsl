// Whether the errors of sums and products come out of shared/error_free.wgsl: src/gpu/error_free.rs
// chooses the operands and judges the results.
// operands: one case an element, the bits of four numbers; each is taken with the next of the four.
// results: four elements a case: sums, their errors, products, their errors.
@group(0) @binding(0) var<storage, read> operands: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read_write> results: array<vec4<u32>>;

@compute @workgroup_size(64)
fn error_free(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= arrayLength(&operands)) { return; }
    let x = bitcast<vec4<f32>>(operands[id.x]);
    let sum = two_sum4(x, x.yzwx);
    let product = two_product4(x, x.yzwx);
    results[4u * id.x] = bitcast<vec4<u32>>(sum.hi);
    results[4u * id.x + 1u] = bitcast<vec4<u32>>(sum.lo);
    results[4u * id.x + 2u] = bitcast<vec4<u32>>(product.hi);
    results[4u * id.x + 3u] = bitcast<vec4<u32>>(product.lo);
}
