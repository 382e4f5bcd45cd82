// Four scaled numbers to integer elements of magnitude at most ELEMENT_LIMIT, nearest, in as many bits
// as an element has: of one row from a column on, or of one column from a row on.
const ELEMENT_MASK: u32 = 0xffffffffu >> (32u - 32u / WORD);

fn elements(x: vec4<f32>, row: u32, column: u32, stream: u32) -> vec4<u32> {
    let q = vec4<i32>(
        integer_nearest(x.x, ELEMENT_LIMIT),
        integer_nearest(x.y, ELEMENT_LIMIT),
        integer_nearest(x.z, ELEMENT_LIMIT),
        integer_nearest(x.w, ELEMENT_LIMIT),
    );
    return bitcast<vec4<u32>>(q) & vec4<u32>(ELEMENT_MASK);
}

fn elements_of_rows(x: vec4<f32>, row: u32, column: u32, stream: u32) -> vec4<u32> {
    return elements(x, row, column, stream);
}
