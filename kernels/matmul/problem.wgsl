// Shape of C = A·B, shared by all kernels of the workload: BATCH products of one shape, the matrices of
// each kind one above the other. All are row-major, rows of A LDA numbers apart, of B LDB, of C LDC.
//   A: M rows of K, or, stored transposed, LDK rows of M; B: LDK rows of N, or, transposed, N rows of K;
//   C: M rows of N.
// Numbers to a row along k are padded to LDK, a multiple of 32, others to a multiple of 8. What the
// padding of A and B holds is zero, so a loop over k may run on to LDK without changing a sum.
override M: u32;
override N: u32;
override K: u32;
override LDA: u32;
override LDB: u32;
override LDC: u32;
override LDK: u32;
override BATCH: u32;
// Key of the random bits: (seed, trial).
override SEED: u32;
override TRIAL: u32;
