// Four numbers, each the unevaluated sum of an upper and a lower part.
struct Pair4 {
    hi: vec4<f32>,
    lo: vec4<f32>,
}
