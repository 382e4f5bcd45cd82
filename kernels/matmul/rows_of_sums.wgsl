// Sums that are plain vectors, where the four are rows of C and not columns, as in products with a vector.

// Four rows of A and the first column of B.
fn accumulate_rows4(acc: Sum4, rows: B4, b: B4) -> Sum4 {
    return accumulate4(acc, b.x, rows);
}

// One of four sums, four times.
fn lane_of(sums: Sum4, lane: u32) -> Sum4 {
    return Sum4(sums[lane]);
}
