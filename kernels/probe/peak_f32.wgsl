// A step of a peak: one product-add of four f32. With peak_chains_*.wgsl.

alias Value = vec4<f32>;
alias Factors = vec2<f32>;

fn factors(words: vec4<u32>) -> Factors {
    return bitcast<vec2<f32>>(words.xy);
}

fn start(words: vec4<u32>) -> Value {
    return bitcast<vec4<f32>>(words);
}

fn step(x: Value, f: Factors) -> Value {
    return fma(x, vec4<f32>(f.x), vec4<f32>(f.y));
}

fn bits(x: Value) -> vec4<u32> {
    return bitcast<vec4<u32>>(x);
}
