// Whether the errors of sums and products come out of shared/two_sum.wgsl and
// shared/two_product.wgsl, one or four at a time:
// src/gpu/error_free.rs chooses the operands and judges the results.
// operands: the bits of the first operand of every case, then of the second.
// results: of every case the sum, then their errors, the products, and their errors.
@group(0) @binding(0) var<storage, read> operands: array<Bits>;
@group(0) @binding(1) var<storage, read_write> results: array<Bits>;

@compute @workgroup_size(64)
fn error_free(@builtin(global_invocation_id) id: vec3<u32>) {
    let count = arrayLength(&operands) / 2u;
    if (id.x >= count) { return; }
    let a = bitcast<Floats>(operands[id.x]);
    let b = bitcast<Floats>(operands[count + id.x]);
    let sum = two_sum(a, b);
    let product = two_product(a, b);
    results[id.x] = bitcast<Bits>(sum.hi);
    results[count + id.x] = bitcast<Bits>(sum.lo);
    results[2u * count + id.x] = bitcast<Bits>(product.hi);
    results[3u * count + id.x] = bitcast<Bits>(product.lo);
}
