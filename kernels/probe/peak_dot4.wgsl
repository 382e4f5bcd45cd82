// A step of a peak: four products of four int8 each, added to 32-bit sums. With peak_chains_*.wgsl.
// A sum is an operand of its own product, so that no product can be taken out of the loop.

alias Value = vec4<u32>;
alias Factors = u32;

fn factors(words: vec4<u32>) -> Factors {
    return words.x;
}

fn start(words: vec4<u32>) -> Value {
    return words;
}

fn add(x: u32, f: u32) -> u32 {
    return x + bitcast<u32>(dot4I8Packed(x, f));
}

fn step(x: Value, f: Factors) -> Value {
    return vec4<u32>(add(x.x, f), add(x.y, f), add(x.z, f), add(x.w, f));
}

fn bits(x: Value) -> vec4<u32> {
    return x;
}
