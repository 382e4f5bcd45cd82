// A step of a peak: one product-add of four f16, where the device computes in f16 (SHADER_F16).
// With peak_chains_*.wgsl. Operands and results are f32 words: conversion is outside the loop.

enable f16;

alias Value = vec4<f16>;
alias Factors = vec2<f16>;

fn factors(words: vec4<u32>) -> Factors {
    return vec2<f16>(bitcast<vec2<f32>>(words.xy));
}

fn start(words: vec4<u32>) -> Value {
    return vec4<f16>(bitcast<vec4<f32>>(words));
}

fn step(x: Value, f: Factors) -> Value {
    return fma(x, vec4<f16>(f.x), vec4<f16>(f.y));
}

fn bits(x: Value) -> vec4<u32> {
    return bitcast<vec4<u32>>(vec4<f32>(x));
}
