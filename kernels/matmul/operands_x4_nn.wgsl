// Operands of product p by fours, stored as they are multiplied and in no other layout, for numbers that
// no register transposes. Past the edge of A or B the last row or column is read again.
const B_TRANSPOSED: bool = false;

// Rows i to i + 3 of A over four product-adds from q; i is a multiple of 4.
fn square_a(p: u32, i: u32, q: u32) -> array<A4, 4> {
    return array<A4, 4>(
        load_a4(p * M + min(i, M - 1u), q),
        load_a4(p * M + min(i + 1u, M - 1u), q),
        load_a4(p * M + min(i + 2u, M - 1u), q),
        load_a4(p * M + min(i + 3u, M - 1u), q),
    );
}

// Four columns from j, or where these are past the edge the last four that are not.
fn clamped(j: u32) -> u32 {
    return min(j, (N - 1u) & ~3u);
}

// Columns j to j + 3 of B for the product-add at q; j is a multiple of 4 as `clamped` leaves it.
fn line_b(p: u32, q: u32, j: u32) -> B4 {
    return load_b4(p * LDK + q, j);
}

// The same for four product-adds from q.
fn square_b(p: u32, q: u32, j: u32) -> array<B4, 4> {
    return array<B4, 4>(
        line_b(p, q, j),
        line_b(p, q + STEP, j),
        line_b(p, q + 2u * STEP, j),
        line_b(p, q + 3u * STEP, j),
    );
}
