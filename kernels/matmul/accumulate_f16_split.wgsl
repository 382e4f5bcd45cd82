// A product-add of f32 as pairs of f16, x = hi + lo / 2048: hi·hi into one f32 sum, hi·lo + lo·hi into
// another, joined at the end. lo·lo / 2^22 is left out. A product of two f16 is exact in f32. One entry of
// C at a time, or four.
// Method: Ootomo, Yokota, "Recovering single precision accuracy from Tensor Cores while surpassing the
// FP32 theoretical peak performance", arXiv:2203.03341 (2022).
alias Number = Pair;
alias Sum = Pair;
alias Entry = Floats;

fn accumulate(acc: Sum, a: Number, b: Number) -> Sum {
    return Pair(fma(a.hi, b.hi, acc.hi), fma(a.hi, b.lo, fma(a.lo, b.hi, acc.lo)));
}

fn entry_of(sum: Sum) -> Entry {
    return fma(sum.lo, Floats(1.0 / 2048.0), sum.hi);
}
