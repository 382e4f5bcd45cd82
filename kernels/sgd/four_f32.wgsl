// Four f32 numbers in four words.
alias F32x4 = vec4<f32>;
