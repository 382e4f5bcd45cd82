// A zero that is known to no compiler, from a buffer of its own.
// A compiler may turn (a + b) - a into b and a·b + (a·c + d) into a·(b + c) + d, and lavapipe does. Each
// value that such a step would need to look through passes an exclusive or with this zero.
// zero: one word, which holds 0 when the kernel runs.
@group(0) @binding(3) var<storage, read> zero: array<u32>;

fn opaque(x: Floats) -> Floats {
    return bitcast<Floats>(bitcast<Bits>(x) ^ Bits(zero[0]));
}
