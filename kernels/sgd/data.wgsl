// The data set X: n rows of GROUPS fours, row-major, split by rows over up to four buffers since a
// binding may hold as little as 128 MiB. Buffers beyond CHUNKS are never read.
// Needs a data_*.wgsl, which gives DataFour and decode_data.

override ROWS_PER_CHUNK: u32;
override CHUNKS: u32;

@group(0) @binding(8) var<storage, read> x0: array<DataFour>;
@group(0) @binding(9) var<storage, read> x1: array<DataFour>;
@group(0) @binding(10) var<storage, read> x2: array<DataFour>;
@group(0) @binding(11) var<storage, read> x3: array<DataFour>;

fn load_stored(row: u32, group: u32) -> DataFour {
    if CHUNKS == 1u {
        return x0[row * GROUPS + group];
    }
    let chunk = row / ROWS_PER_CHUNK;
    let i = (row - chunk * ROWS_PER_CHUNK) * GROUPS + group;
    switch chunk {
        case 0u: { return x0[i]; }
        case 1u: { return x1[i]; }
        case 2u: { return x2[i]; }
        default: { return x3[i]; }
    }
}

// Coordinates 4 group … 4 group + 3 of a row.
fn load_x4(row: u32, group: u32) -> vec4<f32> {
    return decode_data(load_stored(row, group));
}
