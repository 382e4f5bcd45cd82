//! How a run descends.

use std::fmt;
use std::str::FromStr;

use super::{SgdError, rows_drawn};
use crate::number::{Format, Precision, Rounding};

/// The column `algorithm`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// Minibatch steps; the model is the last iterate.
    #[default]
    Sgd,
    /// The same steps; the model is the mean of the iterates of the last epoch (Polyak, Juditsky
    /// 1992), summed as pairs of f32.
    AveragedSgd,
    /// Stochastic variance-reduced gradient on a fixed grid (De Sa et al. 2018): full gradients by the
    /// host in f64, the steps between them in f32 on the device.
    LpSvrg,
    /// Bit-centred SVRG (De Sa et al. 2018): the same with low-precision offsets from a centre in f64,
    /// on a grid that shrinks with the gradient.
    Halp,
}

/// μ of [`Algorithm::Halp`]: offsets reach the gradient's norm over it.
pub const HALP_MU: f64 = 0.03;

impl Algorithm {
    /// All, the plain one first.
    pub const ALL: [Self; 4] = [Self::Sgd, Self::AveragedSgd, Self::LpSvrg, Self::Halp];

    /// The word used in the CSV.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sgd => "sgd",
            Self::AveragedSgd => "averaged-sgd",
            Self::LpSvrg => "lp-svrg",
            Self::Halp => "halp",
        }
    }

    /// Whether it exists at a setting: those that reduce variance need an f32 data set and a
    /// fixed-point model that is rounded stochastically.
    pub fn runs(self, precision: Precision) -> bool {
        let fixed = matches!(precision.accumulator(), Format::Fixed8 | Format::Fixed16);
        let stochastic = precision.rounding() == Rounding::Stochastic;
        !self.is_variance_reduced() || precision.storage() == Format::F32 && fixed && stochastic
    }

    /// Refuses a setting at which it does not exist.
    ///
    /// # Errors
    /// [`SgdError::Algorithm`].
    pub fn check(self, precision: Precision) -> Result<(), SgdError> {
        let remedy = "D32fM8-SR";
        let refused = SgdError::Algorithm { algorithm: self, precision, remedy };
        if self.runs(precision) { Ok(()) } else { Err(refused) }
    }

    /// Whether full gradients correct its steps.
    pub const fn is_variance_reduced(self) -> bool {
        matches!(self, Self::LpSvrg | Self::Halp)
    }

    /// Steps between full gradients of those that reduce variance: two passes over n rows.
    pub const fn period(n: usize, batch: usize) -> u32 {
        let steps = (2 * n).div_ceil(batch);
        if steps > u32::MAX as usize { u32::MAX } else { steps as u32 }
    }

    /// Iterates that are averaged: those of the last epoch, or of the last half of a run that is
    /// shorter than two.
    pub fn window(n: usize, batch: usize, steps: u32) -> u32 {
        (n.div_ceil(batch) as u32).min(steps.div_ceil(2)).max(1)
    }

    /// The column `algorithm_parameters`.
    pub fn parameters(self, n: usize, batch: usize, steps: u32) -> String {
        match self {
            Self::Sgd => String::new(),
            Self::AveragedSgd => format!("window={}", Self::window(n, batch, steps)),
            Self::LpSvrg => format!("period={}", Self::period(n, batch)),
            Self::Halp => format!("mu={HALP_MU} period={}", Self::period(n, batch)),
        }
    }

    /// Rows of n that a run of so many steps reads, those of full gradients included.
    pub fn rows_read(self, n: usize, batch: usize, steps: u32) -> u64 {
        match self {
            Self::Sgd | Self::AveragedSgd => rows_drawn(n, batch, steps),
            Self::LpSvrg | Self::Halp => {
                let full = steps.div_ceil(Self::period(n, batch));
                u64::from(steps) * batch as u64 + u64::from(full) * n as u64
            }
        }
    }

    /// What the time of a run is shared out by, of its first so many steps: the steps, each as long as the
    /// others; with full gradients the rows read, each as long as the others.
    pub fn time_units(self, n: usize, batch: usize, steps: u32) -> u64 {
        if self.is_variance_reduced() { self.rows_read(n, batch, steps) } else { steps.into() }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Algorithm {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|a| a.name().eq_ignore_ascii_case(text.trim()));
        found.ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("unknown algorithm `{}`; valid are {names}", text.trim())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_include_the_full_gradients() {
        assert_eq!(Algorithm::period(1000, 1), 2000);
        assert_eq!(Algorithm::Halp.rows_read(1000, 1, 2000), 3000);
        assert_eq!(Algorithm::Halp.rows_read(1000, 1, 2001), 4001);
        assert_eq!(Algorithm::Sgd.rows_read(1000, 1, 2001), 2001);
        assert_eq!(Algorithm::Halp.parameters(1000, 1, 9), "mu=0.03 period=2000");
        let units = [0, 1, 2000].map(|steps| Algorithm::Halp.time_units(1000, 1, steps));
        assert_eq!(units, [0, 1001, 3000], "the first step waits for the full gradient");
        assert_eq!(Algorithm::AveragedSgd.time_units(1000, 7, 2000), 2000);
        assert_eq!(Algorithm::window(100, 10, 1000), 10);
        assert_eq!(Algorithm::window(100, 10, 7), 4);
    }

    #[test]
    fn names_read_back() {
        for algorithm in Algorithm::ALL {
            assert_eq!(algorithm.to_string().parse(), Ok(algorithm));
        }
        assert!("svrg".parse::<Algorithm>().unwrap_err().contains("`svrg`; valid are sgd,"));
    }
}
