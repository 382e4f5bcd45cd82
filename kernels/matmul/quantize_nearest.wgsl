// Four scaled numbers to int8, nearest.
fn quantize4(x: vec4<f32>, row: u32, column: u32, stream: u32) -> vec4<i32> {
    return vec4<i32>(
        integer_nearest(x.x, INT8_LIMIT),
        integer_nearest(x.y, INT8_LIMIT),
        integer_nearest(x.z, INT8_LIMIT),
        integer_nearest(x.w, INT8_LIMIT),
    );
}
