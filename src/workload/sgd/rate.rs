//! The learning rate of a run: a data set's own, a factor of it, or a value.

use std::fmt;
use std::str::FromStr;

/// What the learning rate of a run is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum LearningRate {
    /// The data set's own for the batch: [`crate::problem::dataset::Dataset::learning_rate`].
    #[default]
    Auto,
    /// So many times that.
    Times(f32),
    /// This.
    Value(f32),
}

impl LearningRate {
    /// The rate where the data set's own is `auto`.
    pub fn value(self, auto: f32) -> f32 {
        match self {
            Self::Auto => auto,
            Self::Times(factor) => factor * auto,
            Self::Value(rate) => rate,
        }
    }
}

/// `auto`, `0.5x` or `0.01`, as it is read back.
impl fmt::Display for LearningRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Short enough for a bench id, whatever the exponent.
        let mut number = |x: f32, unit| match (1e-6..1e6).contains(&x) {
            true => write!(f, "{x}{unit}"),
            false => write!(f, "{x:e}{unit}"),
        };
        match *self {
            Self::Auto => f.write_str("auto"),
            Self::Times(factor) => number(factor, "x"),
            Self::Value(rate) => number(rate, ""),
        }
    }
}

impl FromStr for LearningRate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| {
            let number = text.parse::<f32>().ok();
            number.filter(|x| x.is_finite() && *x > 0.0).ok_or(
                "is no learning rate; write auto, a factor of it such as 0.5x, or a value such as \
                 0.01, each finite and over 0",
            )
        };
        let read = match (text, text.strip_suffix('x')) {
            ("auto", _) => Ok(Self::Auto),
            (_, Some(factor)) => number(factor).map(|factor| match factor {
                1.0 => Self::Auto,
                factor => Self::Times(factor),
            }),
            (_, None) => number(text).map(Self::Value),
        };
        read.map_err(|why| format!("`{text}` {why}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_read_back() {
        for (text, rate) in [
            ("auto", LearningRate::Auto),
            ("0.5x", LearningRate::Times(0.5)),
            ("2x", LearningRate::Times(2.0)),
            ("0.01", LearningRate::Value(0.01)),
            ("1e-10", LearningRate::Value(1e-10)),
            ("1.5e20x", LearningRate::Times(1.5e20)),
        ] {
            assert_eq!(text.parse(), Ok(rate));
            assert_eq!(rate.to_string(), text);
        }
        assert_eq!("1.0x".parse(), Ok(LearningRate::Auto));
        assert_eq!(LearningRate::Times(0.5).value(0.25), 0.125);
        assert_eq!(LearningRate::Value(0.5).value(0.25), 0.5);
        assert_eq!(LearningRate::Auto.value(0.25), 0.25);
    }

    #[test]
    fn what_is_no_rate_is_named() {
        for text in ["0", "0x", "-0.1", "NaN", "inf", "infx", "x", "2X", "1e-60", "1e60", "2 x", ""]
        {
            let message = text.parse::<LearningRate>().unwrap_err();
            assert!(message.starts_with(&format!("`{text}` is no learning rate; ")), "{message}");
            assert!(!message.contains('\n'));
        }
    }
}
