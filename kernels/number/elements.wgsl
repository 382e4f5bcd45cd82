// Operands whose numbers are elements of an array, one at a time, stored in either way.
// a: M x LDA numbers, b: LDK x LDB numbers; transposed LDK x LDA, N x LDB.
@group(0) @binding(0) var<storage, read> a: array<Number>;
@group(0) @binding(1) var<storage, read> b: array<Number>;

fn number_of_a(at: u32) -> Number {
    return a[at];
}

fn number_of_b(at: u32) -> Number {
    return b[at];
}
