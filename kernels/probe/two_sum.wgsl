// Whether the errors of sums come out of shared/two_sum.wgsl with the zero of the files before this one:
// src/gpu/error_free.rs chooses the operands and judges the results.
// operands: the bits of the first operand of every case, then of the second.
// results: the sum of every case, then their errors.
@group(0) @binding(1) var<storage, read> operands: array<Bits>;
@group(0) @binding(2) var<storage, read_write> results: array<Bits>;

@compute @workgroup_size(64)
fn errors_of_sums(@builtin(global_invocation_id) id: vec3<u32>) {
    let count = arrayLength(&operands) / 2u;
    if (id.x >= count) { return; }
    let sum = two_sum(bitcast<Floats>(operands[id.x]), bitcast<Floats>(operands[count + id.x]));
    results[id.x] = bitcast<Bits>(sum.hi);
    results[count + id.x] = bitcast<Bits>(sum.lo);
}
