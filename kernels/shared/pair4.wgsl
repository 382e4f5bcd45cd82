// Four numbers at a time, and four that are each the unevaluated sum of an upper and a lower part. Files
// that are written in Floats, Bits and Pair are composed with this one, or with pair1.wgsl.
alias Floats = vec4<f32>;
alias Bits = vec4<u32>;
alias Pair = Pair4;

struct Pair4 {
    hi: vec4<f32>,
    lo: vec4<f32>,
}
