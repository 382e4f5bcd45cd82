// Tiles of a peak of the matrix units: 8×8×8, operands in f16, sums in f32. With
// peak_cooperative.wgsl.

enable f16;
enable wgpu_cooperative_matrix;

alias Operand = f16;
alias Sum = f32;
alias Left = coop_mat8x8<f16, A>;
alias Right = coop_mat8x8<f16, B>;
alias Sums = coop_mat8x8<f32, C>;

const EDGE: u32 = 8u;
