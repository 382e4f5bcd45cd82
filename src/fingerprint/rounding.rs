//! Which rounding mode explains what was returned for numbers whose exact value is known.

/// The modes that a device's roundings are told apart by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    NearestEven,
    NearestAway,
    TowardZero,
    Up,
    Down,
}

impl Mode {
    pub const ALL: [Self; 5] =
        [Self::NearestEven, Self::NearestAway, Self::TowardZero, Self::Up, Self::Down];

    pub fn name(self) -> &'static str {
        match self {
            Self::NearestEven => "nearest, ties to even",
            Self::NearestAway => "nearest, ties away from zero",
            Self::TowardZero => "toward zero",
            Self::Up => "toward +infinity",
            Self::Down => "toward -infinity",
        }
    }

    /// `exact` on the grid. Exact values are f64, so they have to fit in one.
    pub fn round(self, exact: f64, grid: Grid) -> f64 {
        let exponent = ((exact.to_bits() >> 52) & 0x7ff) as i32 - 1023;
        let quantum = 2f64.powi(exponent.max(grid.least_exponent) - (grid.digits - 1));
        let count = exact / quantum;
        quantum
            * match self {
                Self::NearestEven => count.round_ties_even(),
                Self::NearestAway => count.round(),
                Self::TowardZero => count.trunc(),
                Self::Up => count.ceil(),
                Self::Down => count.floor(),
            }
    }
}

/// The numbers of a format, without its largest: binary digits, and the exponent of the least normal
/// number.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grid {
    digits: i32,
    least_exponent: i32,
}

impl Grid {
    pub const F32: Self = Self { digits: 24, least_exponent: -126 };
    pub const F16: Self = Self { digits: 11, least_exponent: -14 };
    /// Up to 2^52.
    pub const INTEGERS: Self = Self { digits: 53, least_exponent: 52 };
}

/// The first mode that explains every (exact, returned).
pub(super) fn rule(answers: &[(f64, f64)], grid: Grid) -> Option<Mode> {
    let explains = |mode: &Mode| answers.iter().all(|&(exact, got)| mode.round(exact, grid) == got);
    Mode::ALL.into_iter().find(explains)
}

/// The same in words.
pub(super) fn named(answers: &[(f64, f64)], grid: Grid) -> String {
    rule(answers, grid).map_or("in no known mode", Mode::name).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_is_that_of_the_formats() {
        let exact = [1.0 + 2f64.powi(-24), 0.1, -1.5e-42, 3e38, 2f64.powi(-150) * 3.0];
        for x in exact {
            assert_eq!(Mode::NearestEven.round(x, Grid::F32), f64::from(x as f32), "{x:e}");
        }
        for x in [1.0f32 + exp(-11), 65503.9, 1.5 * exp(-24), -0.1] {
            let expected = f64::from(half::f16::from_f32(x));
            assert_eq!(Mode::NearestEven.round(f64::from(x), Grid::F16), expected, "{x:e}");
        }
        let integers = Mode::ALL.map(|mode| mode.round(-2.5, Grid::INTEGERS));
        assert_eq!(integers, [-2.0, -3.0, -2.0, -2.0, -3.0]);
    }

    fn exp(exponent: i32) -> f32 {
        2f32.powi(exponent)
    }

    #[test]
    fn each_mode_is_told_from_the_others() {
        let exact = [1.5, 2.5, -1.5, -2.5, 0.75, -0.75, 0.25, -0.25];
        for mode in Mode::ALL {
            let answers = exact.map(|x| (x, mode.round(x, Grid::INTEGERS)));
            assert_eq!(rule(&answers, Grid::INTEGERS), Some(mode));
        }
        assert_eq!(named(&[(1.25, 3.0)], Grid::INTEGERS), "in no known mode");
    }
}
