// What the load functions of a floating-point format return: the number itself, in f32.
alias Number = f32;
