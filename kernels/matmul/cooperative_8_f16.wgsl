// Fragments of 8 x 8 numbers: operands in f16, sums in f16.
alias FragmentA = coop_mat8x8<f16, A>;
alias FragmentB = coop_mat8x8<f16, B>;
alias FragmentC = coop_mat8x8<f16, C>;
alias Sum = f16;
