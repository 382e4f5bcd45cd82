// A zero that is known to no compiler, as shared/zero.wgsl has it: but a kernel of SGD has no binding left for
// one, and takes it from the record of its step, whose half_bits is at most 16.
// Needs shape.wgsl and shared/pair4.wgsl.
fn opaque(x: Floats) -> Floats {
    return bitcast<Floats>(bitcast<Bits>(x) ^ Bits(step.half_bits >> 5u));
}
