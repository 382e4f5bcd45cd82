// A compensated product-add of f32: hi is the plain sum, lo the sum of all that its roundings, and those
// of the products, left. Rounded to f32 once, at the end. One entry of C at a time, or four.
// Method: Ogita, Rump, Oishi, "Accurate sum and dot product", SIAM J. Sci. Comput. 26 (2005), Dot2.
alias Number = Floats;
alias Sum = Pair;
alias Entry = Floats;

fn accumulate(acc: Sum, a: Number, b: Number) -> Sum {
    let product = two_product(a, b);
    let sum = two_sum(acc.hi, product.hi);
    return Pair(sum.hi, acc.lo + (sum.lo + product.lo));
}

fn entry_of(sum: Sum) -> Entry {
    return sum.hi + sum.lo;
}
