// Fragments of 16 x 16 numbers: operands in f16, sums in f32.
alias FragmentA = coop_mat16x16<f16, A>;
alias FragmentB = coop_mat16x16<f16, B>;
alias FragmentC = coop_mat16x16<f32, C>;
alias Sum = f32;
