// A product-add of f32 as triples of bf16, x = x0 + x1 + x2: of the nine products the six leading ones,
// x0·y0 into one f32 sum, the others, the smallest first, into another, joined at the end. A product of two
// bf16 is exact in f32. No two neighbours in the chain share a factor, for a compiler may turn
// a·b + (a·c + d) into a·(b + c) + d, and lavapipe does. One entry of C at a time, or four.
// Method: Henry, Tang, Heinecke, "Leveraging the bfloat16 artificial intelligence datatype for
// higher-precision computations", arXiv:1904.06376 (2019).
struct Triple {
    x0: Floats,
    x1: Floats,
    x2: Floats,
}

alias Number = Triple;
alias Sum = Pair;
alias Entry = Floats;

fn accumulate(acc: Sum, a: Number, b: Number) -> Sum {
    let smallest = fma(a.x2, b.x0, fma(a.x0, b.x2, fma(a.x1, b.x1, acc.lo)));
    return Pair(fma(a.x0, b.x0, acc.hi), fma(a.x1, b.x0, fma(a.x0, b.x1, smallest)));
}

fn entry_of(sum: Sum) -> Entry {
    return sum.hi + sum.lo;
}
