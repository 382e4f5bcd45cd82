// Four numbers rounded to integers. Needs shared/rounding.wgsl.

fn integers_nearest(v: vec4<f32>, limit: i32) -> vec4<i32> {
    return vec4<i32>(
        integer_nearest(v.x, limit),
        integer_nearest(v.y, limit),
        integer_nearest(v.z, limit),
        integer_nearest(v.w, limit),
    );
}

fn integers_stochastic(v: vec4<f32>, random: vec4<u32>, limit: i32) -> vec4<i32> {
    return vec4<i32>(
        integer_stochastic(v.x, random.x, limit),
        integer_stochastic(v.y, random.y, limit),
        integer_stochastic(v.z, random.z, limit),
        integer_stochastic(v.w, random.w, limit),
    );
}
