// max|x| of a stack of matrices, of each row or of each column of each, by integer maxima of the bits:
// for f32 of one sign the order of the bits is the order of the numbers, and a maximum has no order.
// source: ROWS x LD f32, of which COLUMNS are used and the rest is zero, SLAB rows a matrix; maxima: one
// word a scale, cleared before.
override ROWS: u32;
override COLUMNS: u32;
override LD: u32;
override SLAB: u32; // a multiple of STRIP where the columns of several matrices are asked for
override PER_VECTOR: u32; // 1: a scale for each row or column; 0: one for all
@group(0) @binding(0) var<storage, read> source: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> maxima: array<atomic<u32>>;

const STRIP: u32 = 32u; // vectors a thread

fn magnitude(x: vec4<f32>) -> vec4<u32> {
    return bitcast<vec4<u32>>(x) & vec4<u32>(0x7fffffffu);
}

// A thread reads a strip of one row.
@compute @workgroup_size(8, 8)
fn of_rows(@builtin(global_invocation_id) id: vec3<u32>) {
    let row = id.y;
    let first = id.x * STRIP;
    let vectors = LD / 4u;
    if (row >= ROWS || first >= vectors) {
        return;
    }
    var largest = vec4<u32>(0u);
    for (var v = first; v < min(first + STRIP, vectors); v++) {
        largest = max(largest, magnitude(source[row * vectors + v]));
    }
    let one = max(max(largest.x, largest.y), max(largest.z, largest.w));
    atomicMax(&maxima[row * PER_VECTOR], one);
}

// A thread reads a strip of four columns.
@compute @workgroup_size(8, 8)
fn of_columns(@builtin(global_invocation_id) id: vec3<u32>) {
    let column = id.x * 4u;
    let first = id.y * STRIP;
    if (column >= COLUMNS || first >= ROWS) {
        return;
    }
    var largest = vec4<u32>(0u);
    for (var row = first; row < min(first + STRIP, ROWS); row++) {
        largest = max(largest, magnitude(source[(row * LD + column) / 4u]));
    }
    if (PER_VECTOR == 0u) {
        atomicMax(&maxima[0], max(max(largest.x, largest.y), max(largest.z, largest.w)));
        return;
    }
    for (var c = 0u; c < 4u; c++) {
        if (column + c < COLUMNS) {
            atomicMax(&maxima[first / SLAB * COLUMNS + column + c], largest[c]);
        }
    }
}
