// E4M3 of OCP OFP8: 4 bits of exponent, 3 of fraction; up to 448, down to 2^-9, no infinity.
const FP8_FRACTION: u32 = 3u;
const FP8_BIAS: u32 = 7u;
const FP8_LARGEST: u32 = 0x7eu; // code of the largest finite number
