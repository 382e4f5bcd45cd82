// Comparisons and extremes of two f32, of which one may be NaN, infinite or a zero.
// operands: one case an element, the bits of a and b.
// results: one case an element: a < b, a <= b, a == b, a != b, a > b, a >= b from the lowest bit up;
// or the bits of min(a, b) and of max(a, b).

@group(0) @binding(0) var<storage, read> operands: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read_write> results: array<vec4<u32>>;

@compute @workgroup_size(64)
fn compare(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= arrayLength(&operands)) { return; }
    let x = bitcast<vec4<f32>>(operands[id.x]);
    var truths = select(0u, 1u, x.x < x.y);
    truths |= select(0u, 2u, x.x <= x.y);
    truths |= select(0u, 4u, x.x == x.y);
    truths |= select(0u, 8u, x.x != x.y);
    truths |= select(0u, 16u, x.x > x.y);
    truths |= select(0u, 32u, x.x >= x.y);
    results[id.x] = vec4<u32>(truths, 0u, 0u, 0u);
}

@compute @workgroup_size(64)
fn extremes(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= arrayLength(&operands)) { return; }
    let x = bitcast<vec4<f32>>(operands[id.x]);
    results[id.x] = bitcast<vec4<u32>>(vec4<f32>(min(x.x, x.y), max(x.x, x.y), 0.0, 0.0));
}
