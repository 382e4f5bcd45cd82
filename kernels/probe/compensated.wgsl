// Which forms of an error-free transformation a compiler leaves as they are written. Each returns the
// exact error of a + b, or of the split of a; a compiler that reassociates turns it into 0.
// operands: one case an element, the bits of a and b, of 1.0, and of 0: run-time values, so that no
// compiler knows them.
// results: one case an element: the sum (or product, or high part), its error, and the two as one sees
// them again.
// Method: Knuth, TAOCP 2, 4.2.2 (TwoSum); Dekker, "A floating-point technique for extending the
// available precision", 1971 (FastTwoSum and splitting).

@group(0) @binding(0) var<storage, read> operands: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read_write> results: array<vec4<u32>>;

fn answer(at: u32, value: f32, error: f32) {
    results[at] = vec4<u32>(bitcast<u32>(value), bitcast<u32>(error), 0u, 0u);
}

// As it is written in books.
@compute @workgroup_size(64)
fn plain(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= arrayLength(&operands)) { return; }
    let x = bitcast<vec4<f32>>(operands[id.x]);
    let sum = x.x + x.y;
    let b = sum - x.x;
    answer(id.x, sum, (x.x - (sum - b)) + (x.y - b));
}

// FastTwoSum, for |a| ≥ |b|, which the operands keep to.
@compute @workgroup_size(64)
fn fast(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= arrayLength(&operands)) { return; }
    let x = bitcast<vec4<f32>>(operands[id.x]);
    let sum = x.x + x.y;
    answer(id.x, sum, x.y - (sum - x.x));
}

// The sum goes through the integers unchanged.
@compute @workgroup_size(64)
fn through_bits(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= arrayLength(&operands)) { return; }
    let x = bitcast<vec4<f32>>(operands[id.x]);
    let sum = bitcast<f32>(bitcast<u32>(x.x + x.y));
    let b = bitcast<f32>(bitcast<u32>(sum - x.x));
    answer(id.x, sum, (x.x - (sum - b)) + (x.y - b));
}

// Each intermediate goes through the integers, XORed with a zero that the compiler does not know.
@compute @workgroup_size(64)
fn xor_zero(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= arrayLength(&operands)) { return; }
    let word = operands[id.x];
    let x = bitcast<vec4<f32>>(word);
    let sum = bitcast<f32>(bitcast<u32>(x.x + x.y) ^ word.w);
    let b = bitcast<f32>(bitcast<u32>(sum - x.x) ^ word.w);
    let a = bitcast<f32>(bitcast<u32>(sum - b) ^ word.w);
    answer(id.x, sum, (x.x - a) + (x.y - b));
}

// Each intermediate is multiplied by a one that the compiler does not know.
@compute @workgroup_size(64)
fn times_one(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= arrayLength(&operands)) { return; }
    let x = bitcast<vec4<f32>>(operands[id.x]);
    let sum = (x.x + x.y) * x.z;
    let b = (sum - x.x) * x.z;
    let a = (sum - b) * x.z;
    answer(id.x, sum, (x.x - a) + (x.y - b));
}

// Each sum is an fma by that one.
@compute @workgroup_size(64)
fn fma_one(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= arrayLength(&operands)) { return; }
    let x = bitcast<vec4<f32>>(operands[id.x]);
    let sum = fma(x.x, x.z, x.y);
    let b = fma(sum, x.z, -x.x);
    let a = fma(sum, x.z, -b);
    answer(id.x, sum, fma(x.x, x.z, -a) + fma(x.y, x.z, -b));
}

// Each intermediate is the greater of itself and a number that is less than all of them.
@compute @workgroup_size(64)
fn at_least(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= arrayLength(&operands)) { return; }
    let x = bitcast<vec4<f32>>(operands[id.x]);
    let sum = max(x.x + x.y, -3.4e38);
    let b = max(sum - x.x, -3.4e38);
    let a = max(sum - b, -3.4e38);
    answer(id.x, sum, (x.x - a) + (x.y - b));
}

// a as the sum of its upper 12 bits and the rest, by a mask.
@compute @workgroup_size(64)
fn split_by_mask(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= arrayLength(&operands)) { return; }
    let word = operands[id.x];
    let high = bitcast<f32>(word.x & 0xfffff000u);
    answer(id.x, high, bitcast<f32>(word.x) - high);
}

// TwoProduct: the error of a·b by one fma, exact where fma is fused.
@compute @workgroup_size(64)
fn product_by_fma(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= arrayLength(&operands)) { return; }
    let x = bitcast<vec4<f32>>(operands[id.x]);
    let product = x.x * x.y;
    answer(id.x, product, fma(x.x, x.y, -product));
}

// TwoProduct: the same from halves of 12 bits, whose products are exact.
@compute @workgroup_size(64)
fn product_by_split(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= arrayLength(&operands)) { return; }
    let word = operands[id.x];
    let x = bitcast<vec4<f32>>(word);
    let product = bitcast<f32>(bitcast<u32>(x.x * x.y) ^ word.w);
    let a = bitcast<f32>(word.x & 0xfffff000u);
    let b = bitcast<f32>(word.y & 0xfffff000u);
    let c = x.x - a;
    let d = x.y - b;
    let first = bitcast<f32>(bitcast<u32>(fma(a, b, -product)) ^ word.w);
    let second = bitcast<f32>(bitcast<u32>(fma(a, d, first)) ^ word.w);
    let third = bitcast<f32>(bitcast<u32>(fma(c, b, second)) ^ word.w);
    answer(id.x, product, fma(c, d, third));
}
