// What the last word of a Philox counter says the random bits are for, so that no two uses share any.
// Mirror: `Stream` in src/number/philox.rs.
const STREAM_ACCUMULATE: u32 = 0u;
const STREAM_CONVERT_A: u32 = 1u;
const STREAM_CONVERT_B: u32 = 2u;
const STREAM_MODEL: u32 = 3u;
const STREAM_SHUFFLE: u32 = 4u;
