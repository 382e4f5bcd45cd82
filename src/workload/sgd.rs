//! Stochastic gradient descent.
