// Numbers of A and of B in rows, one at a time, stored in either way; with the file of their format.
fn load_a(i: u32, q: u32) -> Number {
    return number_of_a(i * LDA + q);
}

fn load_at(q: u32, i: u32) -> Number {
    return number_of_a(q * LDA + i);
}

fn load_b(q: u32, j: u32) -> Number {
    return number_of_b(q * LDB + j);
}

fn load_bt(j: u32, q: u32) -> Number {
    return number_of_b(j * LDB + q);
}
