// A number of A or of B of product p, wherever the layout keeps it.
override A_TRANSPOSED: bool;
override B_TRANSPOSED: bool;

fn a_at(p: u32, i: u32, q: u32) -> Number {
    if (A_TRANSPOSED) {
        return load_at(p * LDK + q, i);
    }
    return load_a(p * M + i, q);
}

fn b_at(p: u32, q: u32, j: u32) -> Number {
    if (B_TRANSPOSED) {
        return load_bt(p * N + j, q);
    }
    return load_b(p * LDK + q, j);
}
