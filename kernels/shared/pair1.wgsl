// One number at a time, and one that is the unevaluated sum of an upper and a lower part: as pair4.wgsl.
alias Floats = f32;
alias Bits = u32;

struct Pair {
    hi: f32,
    lo: f32,
}
