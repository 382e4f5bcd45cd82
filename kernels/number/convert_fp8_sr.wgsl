// Four f32 to four fp8, stochastically, in a 32-bit word (the lowest byte first); column is a multiple
// of 4.
// Random bits: Philox key (SEED, TRIAL), counter (row, column / 8, 0, STREAM), half-word column mod 8, row
// and column of A or B as they are multiplied, rows of B LDK to a product.
fn convert4(x: vec4<f32>, row: u32, column: u32) -> u32 {
    if (TRANSPOSED) {
        return convert_column(x, row / SLAB * ACROSS + column, row % SLAB);
    }
    let words = philox4x32(vec4<u32>(row, column >> 3u, 0u, STREAM), vec2<u32>(SEED, TRIAL));
    var packed = 0u;
    for (var c = 0u; c < 4u; c++) {
        packed |= fp8_stochastic(x[c], rounding_bits(words, column + c)) << (8u * c);
    }
    return packed;
}

// Of one column from a row on.
fn convert_column(x: vec4<f32>, row: u32, column: u32) -> u32 {
    var packed = 0u;
    for (var c = 0u; c < 4u; c++) {
        let counter = vec4<u32>(row + c, column >> 3u, 0u, STREAM);
        let words = philox4x32(counter, vec2<u32>(SEED, TRIAL));
        packed |= fp8_stochastic(x[c], rounding_bits(words, column)) << (8u * c);
    }
    return packed;
}
