// One product-add in f64: sum + a·b by fma, fused or not as the device does it. Needs SHADER_F64.
alias Number = f64;
alias Sum = f64;
alias Entry = f64;

fn accumulate(acc: Sum, a: Number, b: Number) -> Sum {
    return fma(a, b, acc);
}

fn entry_of(sum: Sum) -> Entry {
    return sum;
}
