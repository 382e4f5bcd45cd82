// D = A·B + C by one instruction of the matrix units, one tile a workgroup, so that what a unit does on
// the way from the products to the sum can be told from its results. With a file of peak_cooperative_*,
// which has its types.
// left, right, sums: a tile of EDGE x EDGE numbers a workgroup, row-major. results: likewise.
// Where a workgroup has several subgroups, each computes the same.
// Method: Fasi, Higham, Mikaitis, Pranesh, "Numerical behavior of NVIDIA tensor cores", 2021.

@group(0) @binding(0) var<storage, read> left: array<Operand>;
@group(0) @binding(1) var<storage, read> right: array<Operand>;
@group(0) @binding(2) var<storage, read_write> sums: array<Sum>;
@group(0) @binding(3) var<storage, read_write> results: array<Sum>;

override WORKGROUP_SIZE: u32 = 32u;

@compute @workgroup_size(WORKGROUP_SIZE)
fn multiply_add(@builtin(workgroup_id) workgroup: vec3<u32>) {
    let at = workgroup.x * EDGE * EDGE;
    let a = coopLoadT<Left>(&left[at], EDGE);
    let b = coopLoadT<Right>(&right[at], EDGE);
    let c = coopLoadT<Sums>(&sums[at], EDGE);
    coopStoreT(coopMultiplyAdd(a, b, c), &results[at], EDGE);
}
