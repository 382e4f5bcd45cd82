// Tiles of a peak of the matrix units: 16×16×16, operands in f16, sums in f32. With
// peak_cooperative.wgsl.

enable f16;
enable wgpu_cooperative_matrix;

alias Operand = f16;
alias Sum = f32;
alias Left = coop_mat16x16<f16, A>;
alias Right = coop_mat16x16<f16, B>;
alias Sums = coop_mat16x16<f32, C>;

const EDGE: u32 = 16u;
