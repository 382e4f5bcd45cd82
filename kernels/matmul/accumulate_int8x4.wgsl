// Exact sums of int8 products for kernels that compute four columns of C at once, and their scaling.
// An i32 holds the products of CHUNK numbers and 16 bits more: 2^17 · 127 · 127 + 2^16 < 2^31. After
// each chunk all but the low 16 bits of a sum move to its carry.
alias Sum4 = vec4<i32>;
const CHUNK: u32 = 131072u;

fn accumulate4(sum: vec4<i32>, a: u32, b: vec4<u32>) -> vec4<i32> {
    return sum + vec4<i32>(
        dot4I8Packed(a, b.x),
        dot4I8Packed(a, b.y),
        dot4I8Packed(a, b.z),
        dot4I8Packed(a, b.w),
    );
}

// Whether the sums of all numbers before q must be folded.
fn folds_at(q: u32) -> bool {
    return K > CHUNK && q % CHUNK == 0u;
}

fn carried(carry: vec4<i32>, sum: vec4<i32>) -> vec4<i32> {
    return carry + (sum >> vec4<u32>(16u));
}

fn rest(sum: vec4<i32>) -> vec4<i32> {
    return sum & vec4<i32>(0xffff);
}

// C[i, j] to C[i, j + 3], i a row of all products.
fn finished(sum: vec4<i32>, carry: vec4<i32>, i: u32, j: u32) -> vec4<f32> {
    var values = vec4<f32>(sum);
    if (K > CHUNK) {
        for (var c = 0u; c < 4u; c++) {
            // carry · 2^16 + sum, in two words
            let low = u32(carry[c]) << 16u;
            values[c] = nearest_f32(join(vec2<u32>(low, u32(carry[c] >> 16u)), sum[c]));
        }
    }
    return scaled4(values, i, j);
}

fn scaled4(sums: vec4<f32>, i: u32, j: u32) -> vec4<f32> {
    var values: vec4<f32>;
    for (var c = 0u; c < 4u; c++) {
        values[c] = scaled(sums[c], i, min(j + c, N - 1u));
    }
    return values;
}
