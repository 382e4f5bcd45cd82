#!/usr/bin/env python3
"""Vectors for the conversions of src/number, by implementations that share nothing with it.

usage: generate.py FOLDER      (needs gfloat 0.5 and ml_dtypes; see requirements.txt)

Writes one CSV a format; all numbers are hexadecimal bit patterns. Rounding to nearest is gfloat's
and, except where a format saturates, ml_dtypes' too: the script stops where the two differ. It
converts from f32 only, since ml_dtypes rounds an f64 twice.

The threshold convention of stochastic rounding: with a dropped fraction f of an ULP and an integer
`random` of 16 bits, the magnitude goes up exactly where random < floor(f * 2^16). gfloat adds its bits
to the fraction instead (StochasticFastest: up where f + bits / 2^16 >= 1), so it is given the
complement, bits = 2^16 - 1 - random: then f * 2^16 >= random + 1, which is the same.
"""

import math
import random as generator
import struct
import sys
from fractions import Fraction
from pathlib import Path

import ml_dtypes
import numpy as np
from gfloat import RoundMode, encode_float, round_float
from gfloat.formats import (
    format_info_bfloat16,
    format_info_binary16,
    format_info_ocp_e4m3,
    format_info_ocp_e5m2,
)

SR_BITS = 16
# name: gfloat's format, whether it saturates here, ml_dtypes' type
FLOATS = {
    "f16": (format_info_binary16, False, np.float16),
    "bf16": (format_info_bfloat16, False, ml_dtypes.bfloat16),
    "e4m3": (format_info_ocp_e4m3, True, ml_dtypes.float8_e4m3fn),
    "e5m2": (format_info_ocp_e5m2, True, ml_dtypes.float8_e5m2),
}
BLOCK = 32
LEAST_EXPONENT = -100  # of a block's scale
SPECIAL = [
    0x00000000, 0x80000000, 0x7F800000, 0xFF800000, 0x7FC00000, 0xFFC00001, 0x7F800001,
    0x7F7FFFFF, 0xFF7FFFFF, 0x00000001, 0x80000001, 0x007FFFFF, 0x00800000, 0x3F800000,
]


def bits_of(x):
    return struct.unpack("<I", struct.pack("<f", x))[0]


def f32_of(bits):
    return struct.unpack("<f", struct.pack("<I", bits))[0]


def decode(info, code):
    """The number of a finite positive code: sign, exponent and fraction as IEEE 754 has them."""
    exponent, fraction = divmod(code, 2 ** (info.precision - 1))
    least = 1 - info.bias
    whole = fraction + (2 ** (info.precision - 1) if exponent else 0)
    return Fraction(whole) * Fraction(2) ** (max(exponent + least - 1, least) - info.precision + 1)


def neighbourhood(info, code):
    """A number of the format, the tie above it, and the f32 next to both."""
    low = decode(info, code)
    tie = (low + decode(info, code + 1)) / 2
    for x in (low, tie):
        bits = bits_of(float(x))
        yield from (bits, bits + 1, max(bits - 1, 0))


def inputs(info, draw):
    top = encode_float(info, info.max)
    normal = 2 ** (info.precision - 1)  # the first code that is no subnormal
    codes = {0, 1, 2, 3, normal - 1, normal, normal + 1, top - 1, top}
    codes |= set(range(top + 1)) if top < 256 else {draw.randrange(top) for _ in range(90)}
    bits = list(SPECIAL)
    for code in sorted(codes):
        bits += neighbourhood(info, code)
    for _ in range(120):
        bits.append(draw.getrandbits(32))
        # and near the format's own range
        x = draw.uniform(1.0, 2.0) * 2.0 ** draw.randrange(1 - info.bias - 6, info.bias + 2)
        bits.append(bits_of(x if abs(x) < 3e38 else 1.5))
    return [b ^ (draw.getrandbits(1) << 31) if i >= len(SPECIAL) else b for i, b in enumerate(bits)]


def threshold(info, x):
    """floor(f * 2^16), of the fraction f that rounding x toward zero drops."""
    if not math.isfinite(x) or x == 0:
        return 0
    magnitude = Fraction(abs(x))
    exponent = max(math.frexp(abs(x))[1] - 1, 1 - info.bias) - info.precision + 1
    units = magnitude / Fraction(2) ** exponent
    return math.floor((units - math.floor(units)) * 2**SR_BITS)


def code_of(info, value):
    return encode_float(info, value)


def floats(folder, name, draw):
    info, saturates, dtype = FLOATS[name]
    lines = ["input,nearest,random,stochastic"]
    for bits in inputs(info, draw):
        x = f32_of(bits)
        nearest = code_of(info, round_float(info, x, RoundMode.TiesToEven, sat=saturates))
        if not math.isnan(x) and (not saturates or abs(x) <= info.max):
            with np.errstate(over="ignore"):
                other = int(np.float32(x).astype(dtype).view(f"u{np.dtype(dtype).itemsize}"))
            assert other == nearest, (name, hex(bits), hex(nearest), hex(other))
        up = threshold(info, x)
        for random in sorted({max(up - 1, 0), min(up, 0xFFFF), draw.getrandbits(SR_BITS)}):
            rounded = round_float(
                info, x, RoundMode.StochasticFastest, saturates, 2**SR_BITS - 1 - random, SR_BITS
            )
            lines.append(f"{bits:08x},{nearest:x},{random:04x},{code_of(info, rounded):x}")
    (folder / f"{name}.csv").write_text("\n".join(lines) + "\n")


def integer(x, limit, random=None):
    """x to an integer of magnitude at most limit, by exact arithmetic; NaN becomes 0."""
    if math.isnan(x):
        return 0
    magnitude = Fraction(limit) if math.isinf(x) else min(Fraction(abs(x)), Fraction(limit))
    if random is None:
        rounded = round(magnitude)  # of a Fraction: nearest, ties to even
    else:
        down = math.floor(magnitude)
        rounded = down + (random < math.floor((magnitude - down) * 2**SR_BITS))
    return -rounded if x < 0 else rounded


def integers(folder, draw):
    """limit 127 is int8, 7 is int4, 32767 is 16-bit fixed point."""
    lines = ["input,limit,nearest,random,stochastic"]
    for limit in (7, 127, 32767):
        values = [f32_of(b) for b in SPECIAL]
        values += [n / 4 for n in range(33)] + [limit + n / 4 for n in range(-4, 5)]
        values += [draw.uniform(-1.2, 1.2) * limit for _ in range(120)]
        for value in values:
            x = f32_of(bits_of(value))
            x = -x if draw.getrandbits(1) else x
            up = 0
            if math.isfinite(x):
                magnitude = min(Fraction(abs(x)), Fraction(limit))
                up = math.floor((magnitude - math.floor(magnitude)) * 2**SR_BITS)
            for random in sorted({max(up - 1, 0), min(up, 0xFFFF), draw.getrandbits(SR_BITS)}):
                nearest, stochastic = integer(x, limit), integer(x, limit, random)
                lines.append(f"{bits_of(x):08x},{limit},{nearest},{random:04x},{stochastic}")
    (folder / "integers.csv").write_text("\n".join(lines) + "\n")


def block(draw, kind):
    exponent = draw.choice([-110, -100, -94, -60, -8, -1, 0, 1, 8, 60, 110, 126])
    spread = draw.choice([0, 2, 12])
    values = []
    for _ in range(BLOCK):
        x = draw.uniform(1.0, 2.0) * 2.0 ** (exponent - draw.randint(0, spread))
        values.append(f32_of(bits_of(-x if draw.getrandbits(1) else x)))
    if kind == 0:
        return [0.0] * BLOCK
    if kind == 1:  # what saturates in E4M3 once the largest is scaled to 256 to 512
        values[:4] = [f32_of(bits_of(v * 2.0**exponent)) for v in (1.76, 1.8125, 1.85, 1.9999)]
    return values


def blocks(folder, name, draw):
    """Microscaling: shared exponent floor(log2 max) - emax, at least LEAST_EXPONENT, then nearest."""
    lines = ["scale,inputs,elements"]
    for kind in range(24):
        values = block(draw, kind)
        largest = max(map(abs, values))
        emax = 8 if name == "mxfp8" else 0
        exponent = math.frexp(largest)[1] - 1 - emax if largest else LEAST_EXPONENT
        exponent = max(exponent, LEAST_EXPONENT)
        scaled = [math.ldexp(v, -exponent) for v in values]
        if name == "mxfp8":
            info = format_info_ocp_e4m3
            rounded = [round_float(info, v, RoundMode.TiesToEven, sat=True) for v in scaled]
            elements = [code_of(info, v) for v in rounded]
        else:  # elements are integers times 2^-6, symmetric
            elements = [integer(v * 64, 127) & 0xFF for v in scaled]
        words = " ".join(f"{bits_of(v):08x}" for v in values)
        lines.append(f"{exponent + 127:02x},{words},{bytes(elements).hex()}")
    (folder / f"{name}.csv").write_text("\n".join(lines) + "\n")


def main():
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for seed, name in enumerate(FLOATS):
        floats(folder, name, generator.Random(seed))
    integers(folder, generator.Random(10))
    for seed, name in enumerate(("mxfp8", "mxint8")):
        blocks(folder, name, generator.Random(20 + seed))


if __name__ == "__main__":
    main()
