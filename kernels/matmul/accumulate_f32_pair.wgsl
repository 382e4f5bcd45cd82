// A product-add of pairs of f32 (double-single, about 48 bits). Of the four products of parts that of the
// two lower ones is below what is kept. The sum is made a pair again after each step, by TwoSum, whatever
// the order of its parts. One entry of C at a time, or four.
// Method: Dekker, Numerische Mathematik 18 (1971); Joldes, Muller, Popescu, "Tight and rigorous error
// bounds for basic building blocks of double-word arithmetic", ACM TOMS 44 (2017).
alias Number = Pair;
alias Sum = Pair;
alias Entry = Pair;

fn accumulate(acc: Sum, a: Number, b: Number) -> Sum {
    let product = two_product(a.hi, b.hi);
    let lower = fma(a.lo, b.hi, fma(a.hi, b.lo, product.lo));
    let sum = two_sum(acc.hi, product.hi);
    return two_sum(sum.hi, acc.lo + (sum.lo + lower));
}

fn entry_of(sum: Sum) -> Entry {
    return sum;
}
