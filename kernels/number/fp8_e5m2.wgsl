// E5M2 of OCP OFP8: 5 bits of exponent, 2 of fraction; up to 57,344, down to 2^-16.
const FP8_FRACTION: u32 = 2u;
const FP8_BIAS: u32 = 15u;
const FP8_LARGEST: u32 = 0x7bu; // code of the largest finite number
