// Shape of C = A·B, shared by all kernels of the workload. All matrices are row-major.
//   A: M x K, rows of LDA numbers; B: K x N, rows of LDB numbers; C: M x N, rows of LDC numbers.
// LDA is a multiple of 32, LDB = LDC one of 8; what the padding of A and B holds is zero, and B has LDA
// rows, so a loop over k may run on to LDA without changing a sum.
override M: u32;
override N: u32;
override K: u32;
override LDA: u32;
override LDB: u32;
override LDC: u32;
// Key of the random bits: (seed, trial).
override SEED: u32;
override TRIAL: u32;
