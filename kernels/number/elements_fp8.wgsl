// Four scaled numbers to the codes of E4M3 elements, nearest: of one row from a column on, or of one column
// from a row on.
fn elements(x: vec4<f32>, row: u32, column: u32, stream: u32) -> vec4<u32> {
    return vec4<u32>(fp8_nearest(x.x), fp8_nearest(x.y), fp8_nearest(x.z), fp8_nearest(x.w));
}

fn elements_of_rows(x: vec4<f32>, row: u32, column: u32, stream: u32) -> vec4<u32> {
    return elements(x, row, column, stream);
}
