// Operands of product p by fours, wherever the layout keeps them: what lies across the order in which it
// is needed is loaded as a square of four by four and transposed in registers. Past the edge of A or B
// the last row or column is read again.
override A_TRANSPOSED: bool;
override B_TRANSPOSED: bool;

fn transposed4(x: A4, y: A4, z: A4, w: A4) -> array<A4, 4> {
    return array<A4, 4>(
        A4(x[0], y[0], z[0], w[0]),
        A4(x[1], y[1], z[1], w[1]),
        A4(x[2], y[2], z[2], w[2]),
        A4(x[3], y[3], z[3], w[3]),
    );
}

// Row i of A over four product-adds from q.
fn row_a(p: u32, i: u32, q: u32) -> A4 {
    let row = min(i, M - 1u);
    if (A_TRANSPOSED) {
        let at = p * LDK + q;
        let four = row & ~3u;
        return A4(
            load_at4(at, four)[row & 3u],
            load_at4(at + STEP, four)[row & 3u],
            load_at4(at + 2u * STEP, four)[row & 3u],
            load_at4(at + 3u * STEP, four)[row & 3u],
        );
    }
    return load_a4(p * M + row, q);
}

// Rows i to i + 3 of A over four product-adds from q; i is a multiple of 4.
fn square_a(p: u32, i: u32, q: u32) -> array<A4, 4> {
    if (A_TRANSPOSED) {
        let at = p * LDK + q;
        let four = min(i, LDA - 4u);
        return transposed4(
            load_at4(at, four),
            load_at4(at + STEP, four),
            load_at4(at + 2u * STEP, four),
            load_at4(at + 3u * STEP, four),
        );
    }
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

// Columns j to j + 3 of B for the product-add at q, where B is stored as it is multiplied; j is a
// multiple of 4 as `clamped` leaves it.
fn line_b(p: u32, q: u32, j: u32) -> B4 {
    return load_b4(p * LDK + q, j);
}

// The same for four product-adds from q, however B is stored.
fn square_b(p: u32, q: u32, j: u32) -> array<B4, 4> {
    if (B_TRANSPOSED) {
        let rows = transposed4(
            load_bt4(p * N + min(j, N - 1u), q),
            load_bt4(p * N + min(j + 1u, N - 1u), q),
            load_bt4(p * N + min(j + 2u, N - 1u), q),
            load_bt4(p * N + min(j + 3u, N - 1u), q),
        );
        return array<B4, 4>(line_of(rows[0]), line_of(rows[1]), line_of(rows[2]), line_of(rows[3]));
    }
    return array<B4, 4>(
        line_b(p, q, j),
        line_b(p, q + STEP, j),
        line_b(p, q + 2u * STEP, j),
        line_b(p, q + 3u * STEP, j),
    );
}
