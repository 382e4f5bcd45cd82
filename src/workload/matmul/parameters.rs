//! Named values of a kernel's tuning parameters: `tile_m=64 tile_n=64`.

use std::fmt::{self, Write};
use std::str::FromStr;

/// The tuning parameters of a kernel in the order in which its row lists them; none for a kernel
/// that has none.
///
/// A kernel reads them as WGSL constants of the same name in capitals, declared in front of its
/// files: an `override` may size a workgroup, but neither a thread's arrays nor an unrolled loop.
/// They are part of the text whose hash identifies the kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Parameters(Vec<(String, u32)>);

impl Parameters {
    /// From names, `[a-z0-9_]`, and their values.
    pub(super) fn new(pairs: &[(&str, u32)]) -> Self {
        Self(pairs.iter().map(|&(name, value)| (name.to_owned(), value)).collect())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value of a parameter.
    pub fn get(&self, name: &str) -> Option<u32> {
        self.0.iter().find(|(n, _)| n == name).map(|&(_, value)| value)
    }

    /// The names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// The declarations that a kernel's files rely on, one a line.
    pub(super) fn declarations(&self) -> String {
        let mut text = String::new();
        for (name, value) in &self.0 {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "const {}: u32 = {value}u;", name.to_ascii_uppercase());
        }
        text
    }
}

impl fmt::Display for Parameters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, value)) in self.0.iter().enumerate() {
            let space = if index == 0 { "" } else { " " };
            write!(f, "{space}{name}={value}")?;
        }
        Ok(())
    }
}

/// A text that is no list of parameters.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{entry}` in kernel parameters `{text}` is not name=value with a whole number, each name once; \
     write them as the column kernel_parameters has them, such as `tile_m=64 tile_n=64`"
)]
pub struct ParametersError {
    entry: String,
    text: String,
}

impl FromStr for Parameters {
    type Err = ParametersError;

    fn from_str(text: &str) -> Result<Self, ParametersError> {
        let mut found = Self::default();
        for entry in text.split_whitespace() {
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            let pair = entry.split_once('=').and_then(|(name, value)| {
                let new = !name.is_empty() && name.chars().all(plain) && found.get(name).is_none();
                Some((name.to_owned(), value.parse().ok().filter(|_| new)?))
            });
            let error = || ParametersError { entry: entry.to_owned(), text: text.to_owned() };
            found.0.push(pair.ok_or_else(error)?);
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_read_back() {
        let parameters = Parameters::new(&[("tile_m", 64), ("stages", 0)]);
        assert_eq!(parameters.to_string(), "tile_m=64 stages=0");
        assert_eq!(parameters.to_string().parse(), Ok(parameters.clone()));
        assert_eq!("".parse(), Ok(Parameters::default()));
        assert_eq!((parameters.get("stages"), parameters.get("tile")), (Some(0), None));
        assert_eq!(
            parameters.declarations(),
            "const TILE_M: u32 = 64u;\nconst STAGES: u32 = 0u;\n"
        );
    }

    #[test]
    fn what_is_no_parameter_is_named() {
        for (text, entry) in [
            ("tile_m", "`tile_m`"),
            ("rows=8 columns=-1", "`columns=-1`"),
            ("rows=8 rows=8", "`rows=8`"),
            ("Rows=8", "`Rows=8`"),
            ("=8", "`=8`"),
            ("rows=4294967296", "`rows=4294967296`"),
        ] {
            let error = text.parse::<Parameters>().unwrap_err().to_string();
            assert!(error.starts_with(entry), "{error}");
        }
    }
}
