// What sums that are pairs take of numbers of one part, four at a time.
alias Element = f32;

fn all_of(x: Element) -> B4 {
    return B4(x);
}

fn first_of(x: B4) -> B4 {
    return x.xxxx;
}
