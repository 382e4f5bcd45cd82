// What compilers make of operations on literals, which no hardware ever sees: `written` has them as
// expressions, which the WGSL front end may evaluate; `assigned` has them in variables, which the
// driver's compiler sees through; `loaded` does the same operations on the same operands from a buffer.
// `neutral` and `neutral_loaded` compare operations of which only one operand is a literal.
// operands: one element a case: a, b, c.
// results: one element a case; src/fingerprint/literals.rs names them.

@group(0) @binding(0) var<storage, read> operands: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read_write> results: array<vec4<u32>>;

fn answer(at: u32, value: f32) {
    results[at] = vec4<u32>(bitcast<u32>(value), 0u, 0u, 0u);
}

@compute @workgroup_size(1)
fn written() {
    answer(0u, fma(0x1.001p+0f, 0x1.0008p+0f, -0x1.0018p+0f));
    answer(1u, 0x1p+0f + 0x1.8p-24f);
    answer(2u, 0x1p-100f * 0x1p-30f);
    answer(3u, 0x1p-130f * 0x1p+10f);
    answer(4u, fma(-0.0f, 1.0f, 0.0f));
    answer(5u, (1.0f - ((1.0f + 0x1p-30f) - ((1.0f + 0x1p-30f) - 1.0f)))
        + (0x1p-30f - ((1.0f + 0x1p-30f) - 1.0f)));
    answer(6u, 1.0f / 3.0f);
}

@compute @workgroup_size(1)
fn assigned() {
    var a = array<f32, 7>(0x1.001p+0f, 1.0f, 0x1p-100f, 0x1p-130f, -0.0f, 1.0f, 1.0f);
    var b = array<f32, 7>(0x1.0008p+0f, 0x1.8p-24f, 0x1p-30f, 0x1p+10f, 1.0f, 0x1p-30f, 3.0f);
    var c = array<f32, 7>(-0x1.0018p+0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f);
    answer(0u, fma(a[0], b[0], c[0]));
    answer(1u, a[1] + b[1]);
    answer(2u, a[2] * b[2]);
    answer(3u, a[3] * b[3]);
    answer(4u, fma(a[4], b[4], c[4]));
    answer(5u, (a[5] - ((a[5] + b[5]) - ((a[5] + b[5]) - a[5]))) + (b[5] - ((a[5] + b[5]) - a[5])));
    answer(6u, a[6] / b[6]);
}

@compute @workgroup_size(1)
fn loaded() {
    let x0 = bitcast<vec4<f32>>(operands[0]);
    let x1 = bitcast<vec4<f32>>(operands[1]);
    let x2 = bitcast<vec4<f32>>(operands[2]);
    let x3 = bitcast<vec4<f32>>(operands[3]);
    let x4 = bitcast<vec4<f32>>(operands[4]);
    let x5 = bitcast<vec4<f32>>(operands[5]);
    let x6 = bitcast<vec4<f32>>(operands[6]);
    answer(0u, fma(x0.x, x0.y, x0.z));
    answer(1u, x1.x + x1.y);
    answer(2u, x2.x * x2.y);
    answer(3u, x3.x * x3.y);
    answer(4u, fma(x4.x, x4.y, x4.z));
    answer(5u, (x5.x - ((x5.x + x5.y) - ((x5.x + x5.y) - x5.x))) + (x5.y - ((x5.x + x5.y) - x5.x)));
    answer(6u, x6.x / x6.y);
}

// Run-time numbers beside literals that an optimiser may take for neutral: -0, -0, infinity and a
// subnormal, each the first of its element.
@compute @workgroup_size(1)
fn neutral() {
    let x = vec4<f32>(bitcast<f32>(operands[0].x), bitcast<f32>(operands[1].x),
        bitcast<f32>(operands[2].x), bitcast<f32>(operands[3].x));
    answer(0u, x.x + 0.0f);
    answer(1u, fma(x.y, 1.0f, 0.0f));
    answer(2u, x.z * 0.0f);
    answer(3u, x.w * 1.0f);
}

// The same with those literals from the buffer.
@compute @workgroup_size(1)
fn neutral_loaded() {
    let x0 = bitcast<vec4<f32>>(operands[0]);
    let x1 = bitcast<vec4<f32>>(operands[1]);
    let x2 = bitcast<vec4<f32>>(operands[2]);
    let x3 = bitcast<vec4<f32>>(operands[3]);
    answer(0u, x0.x + x0.y);
    answer(1u, fma(x1.x, x1.y, x1.z));
    answer(2u, x2.x * x2.y);
    answer(3u, x3.x * x3.y);
}
