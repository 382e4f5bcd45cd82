// What every SGD kernel shares: the shape of the problem and the record of one step.
//
// Model W: outputs x d. Step on a minibatch B of b rows: z = W x_i, r = residual of z, then
// w <- Q((1 - decay) w - rate sum_i r_i x_i), where Q rounds to the model's format.
// Rows are padded with zeros to a multiple of 4; numbers are handled four at a time.
// Fixed-point numbers are in units of their grid's step, a power of two: the host folds the steps
// of data and model into `rate` and `scale`, which stays exact.
// Mirror: src/mirror/sgd/.

override GROUPS: u32; // groups of four numbers in a row: d padded, over 4
override OUTPUTS: u32; // columns of the model: 1, or one a class

// The order of a gradient's sum over the rows of a minibatch: BLOCK consecutive rows in order, by
// fma; TILE consecutive blocks in order; where there are more tiles than one, lane l of LANES takes
// tiles l, l + LANES, ... in order, and the lanes are joined in order.
const BLOCK: u32 = 16u;
const TILE: u32 = 16u;
// Lanes that share a row's inner product, or the sum over tiles.
const LANES: u32 = 16u;

struct Step {
    step: u32, // from 0 over the whole run
    epoch: u32,
    start: u32, // of the minibatch in the epoch's order
    batch: u32, // rows in this minibatch
    rows: u32, // n
    half_bits: u32, // of the shuffle's domain
    seed: u32,
    trial: u32,
    rate: f32, // learning rate over batch, times data step over model step
    decay: f32, // learning rate times regularisation
    scale: f32, // data step times model step
    count: u32, // steps of a dispatch that makes several, each as large as this one
}

@group(0) @binding(0) var<uniform> step: Step;

// Steps since the one of the record, in a dispatch that makes several.
var<private> advance: u32 = 0u;

// Index of a workgroup in a grid whose second dimension takes what the first cannot hold.
fn linear(workgroup: vec3<u32>, workgroups: vec3<u32>) -> u32 {
    return workgroup.y * workgroups.x + workgroup.x;
}
