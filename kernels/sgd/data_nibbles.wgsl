// The data set X of 4-bit numbers: n rows of GROUPS fours, row-major, two fours to a word, the first in
// the low half. Split by rows over up to four buffers as in data.wgsl, an even number of rows each.
// Needs data_i4.wgsl.

override ROWS_PER_CHUNK: u32;
override CHUNKS: u32;

@group(0) @binding(8) var<storage, read> x0: array<u32>;
@group(0) @binding(9) var<storage, read> x1: array<u32>;
@group(0) @binding(10) var<storage, read> x2: array<u32>;
@group(0) @binding(11) var<storage, read> x3: array<u32>;

fn load_word(chunk: u32, i: u32) -> u32 {
    switch chunk {
        case 0u: { return x0[i]; }
        case 1u: { return x1[i]; }
        case 2u: { return x2[i]; }
        default: { return x3[i]; }
    }
}

fn load_stored(row: u32, group: u32) -> DataFour {
    var chunk = 0u;
    if CHUNKS > 1u {
        chunk = row / ROWS_PER_CHUNK;
    }
    let i = (row - chunk * ROWS_PER_CHUNK) * GROUPS + group;
    return bytes_of(load_word(chunk, i >> 1u) >> ((i & 1u) * 16u));
}

// Coordinates 4 group … 4 group + 3 of a row.
fn load_x4(row: u32, group: u32) -> vec4<f32> {
    return decode_data(load_stored(row, group));
}
