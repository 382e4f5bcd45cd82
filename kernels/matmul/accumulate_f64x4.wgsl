// Four product-adds in f64 and what becomes of their sums, for kernels that compute four columns of C
// at once: sum + a·b by fma, fused or not as the device does it. As with accumulate_f32x4.wgsl, a text of
// its own beside the one for single entries: a product-add is one call, less than what would alias both
// widths of numbers to one name, as compensated sums have it.
alias Sum4 = vec4<f64>;

fn accumulate4(acc: vec4<f64>, a: f64, b: vec4<f64>) -> vec4<f64> {
    return fma(vec4<f64>(a), b, acc);
}

// Hooks of sums that may overflow: these never do.
fn folds_at(q: u32) -> bool {
    return false;
}

fn carried(carry: vec4<i32>, sum: Sum4) -> vec4<i32> {
    return carry;
}

fn rest(sum: Sum4) -> Sum4 {
    return sum;
}

fn finished(sum: Sum4, carry: vec4<i32>, i: u32, j: u32) -> vec4<f64> {
    return sum;
}
