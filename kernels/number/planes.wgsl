// Numbers of all A and of all B as they are stored, padding included: how far apart the planes lie of
// operands whose parts have a plane each.
fn numbers_of_a() -> u32 {
    return BATCH * select(M, LDK, A_TRANSPOSED) * LDA;
}

fn numbers_of_b() -> u32 {
    return BATCH * select(LDK, N, B_TRANSPOSED) * LDB;
}
