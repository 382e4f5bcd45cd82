// Sums that are pairs, for kernels that compute four columns of C, or four rows, at once.
alias Sum4 = Sum;

// A number of A and four columns of B.
fn accumulate4(acc: Sum4, a: Element, b: B4) -> Sum4 {
    return accumulate(acc, all_of(a), b);
}

// Four rows of A and the first column of B. A stays on the left: a·b and b·a need not have the same bits,
// for their parts are added in another order.
fn accumulate_rows4(acc: Sum4, rows: B4, b: B4) -> Sum4 {
    return accumulate(acc, rows, first_of(b));
}

// One of four sums, four times.
fn lane_of(sums: Sum4, lane: u32) -> Sum4 {
    return Pair(Floats(sums.hi[lane]), Floats(sums.lo[lane]));
}

fn finished(sum: Sum4, carry: vec4<i32>, i: u32, j: u32) -> Entry {
    return entry_of(sum);
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
