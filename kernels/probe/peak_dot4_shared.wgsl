// Eight sums of products of int8 that share one operand, as the sums of a register tile do: a device
// that takes packed int8 apart to multiply it does so once for the eight.
// operands: STARTS words that the invocations begin with; then four words of factors and four more;
// then the word that is added to the shared operand after each step.
// results: RESULTS elements; invocation t leaves the exclusive or of its sums at t mod RESULTS.

@group(0) @binding(0) var<storage, read> operands: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read_write> results: array<vec4<u32>>;

override WORKGROUP_SIZE: u32 = 64u;
override ITERATIONS: u32 = 1u;
override RESULTS: u32 = 1u;

const STARTS: u32 = 64u;

fn products(a: u32, b: vec4<u32>) -> vec4<i32> {
    return vec4<i32>(
        dot4I8Packed(a, b.x), dot4I8Packed(a, b.y), dot4I8Packed(a, b.z), dot4I8Packed(a, b.w),
    );
}

// Never the same operand twice in a row, so that no product can be taken out of the loop.
fn next(a: u32, stride: u32) -> u32 {
    return a + stride;
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn peak(@builtin(global_invocation_id) id: vec3<u32>) {
    let b_low = operands[STARTS];
    let b_high = operands[STARTS + 1u];
    let m = operands[STARTS + 2u].x;
    var a = operands[id.x % STARTS].x;
    var low = vec4<i32>();
    var high = vec4<i32>();
    for (var i = 0u; i < ITERATIONS; i++) {
        low += products(a, b_low); high += products(a, b_high); a = next(a, m);
        low += products(a, b_low); high += products(a, b_high); a = next(a, m);
        low += products(a, b_low); high += products(a, b_high); a = next(a, m);
        low += products(a, b_low); high += products(a, b_high); a = next(a, m);
        low += products(a, b_low); high += products(a, b_high); a = next(a, m);
        low += products(a, b_low); high += products(a, b_high); a = next(a, m);
        low += products(a, b_low); high += products(a, b_high); a = next(a, m);
        low += products(a, b_low); high += products(a, b_high); a = next(a, m);
    }
    results[id.x % RESULTS] = bitcast<vec4<u32>>(low ^ high);
}
