//! `tradeoff grade`: how far the error bounds of a device's products reach.

use std::collections::HashSet;
use std::process::ExitCode;

use serde::Serialize;
use tradeoff::error::grade::{Examiner, Grade, Graded, SIZES};
use tradeoff::error::theory::{Cause, Inputs};
use tradeoff::measure::{Case, Unmeasured, Work, expected_growth};
use tradeoff::number::round::ROUNDING_BITS;

use super::output::{self, Form, significant};
use super::selection::SelectionArgs;
use tradeoff::record::precision_label;

/// Grades the matrix products of each device: A, B or C.
///
/// A: every entry keeps to f(n)·u·|A||B|, f linear. B: to f(n)·u times the norms of its row of A and
/// column of B. C: the whole matrix keeps to f(n)·u·‖A‖‖B‖. The tests are those of "How to grade the
/// accuracy of an implementation of the BLAS" (Demmel et al. 2024): growth of the error with n, a
/// detector of Strassen's algorithm, a detector of fixed point. A grade is evidence on these inputs; one
/// that is denied is proven so.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  tradeoff grade
  tradeoff grade --device vulkan --precision fp32,int8 --kernel register_tiled
  tradeoff grade --json")]
pub struct GradeArgs {
    #[command(flatten)]
    selection: SelectionArgs,
    #[command(flatten)]
    form: Form,
}

impl GradeArgs {
    pub fn run(&self) -> anyhow::Result<ExitCode> {
        let (mut session, cases, _) = self.selection.variables()?.session()?;
        let cases = once_each(cases);
        anyhow::ensure!(
            !cases.is_empty(),
            "no matrix product is selected, and nothing else is graded"
        );
        let seed = session.selection.seed;
        let examiner = Examiner::new(seed.into());
        let mut lines = vec![];
        for case in &cases {
            eprintln!("{}/{} on {}", precision(case), case.kernel(), case.device_slug);
            let graded = session.grade(case, &examiner);
            lines.push(Line::of(case, graded));
        }
        let text = if self.form.csv {
            output::csv(&lines)?
        } else if self.form.json {
            serde_json::to_string_pretty(&lines)? + "\n"
        } else {
            table(&lines)
        };
        output::print(&text)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Precision, and the random bits of its roundings where they are not the usual number.
fn precision(case: &Case) -> String {
    precision_label(case.precision.name(), case.rounding_bits())
}

/// One case of each kernel, precision, number of random bits and device: no shape or distribution
/// counts here.
fn once_each(mut cases: Vec<Case>) -> Vec<Case> {
    let mut seen = HashSet::new();
    cases.retain(|case| {
        let wanted = matches!(case.work, Work::Matmul { .. });
        let setting = (case.precision, case.rounding_bits());
        wanted && seen.insert((setting, case.kernel(), case.device))
    });
    cases
}

/// A grade in CSV and JSON.
#[derive(Default, Serialize)]
struct Line {
    device: String,
    precision: String,
    kernel: String,
    /// `A`, `B`, `C`, `none`, or empty where it was not graded.
    grade: String,
    /// Why it is not A, or why there is none.
    reason: String,
    /// Exponent of the largest componentwise error in n, and the ends of its 95 % interval.
    exponent: Option<f64>,
    exponent_ci95_low: Option<f64>,
    exponent_ci95_high: Option<f64>,
    /// The exponent that theory expects, and the cause that dominates by it: that of n^½ or n the sums.
    expected_exponent: Option<f64>,
    expected_cause: Option<Cause>,
    /// Entries that are sums of zeros and came out otherwise.
    false_zeros: Option<usize>,
    /// Largest error over what is allowed of |A||B| where exponents span a range along k.
    span_ratio: Option<f64>,
    /// Largest error over what is allowed of ‖a_i‖‖b_j‖ where rows and columns are scaled.
    row_ratio: Option<f64>,
    /// Error over what is allowed of ‖A‖‖B‖ on the same inputs.
    norm_ratio: Option<f64>,
}

impl Line {
    fn of(case: &Case, graded: Result<Graded, Unmeasured>) -> Self {
        let bits = case.rounding_bits().unwrap_or(ROUNDING_BITS);
        let sizes = SIZES.map(|size| size as f64);
        let theory = expected_growth(case.precision, bits, Inputs::UNIFORM01, &sizes, true);
        let line = Self {
            device: case.device_slug.clone(),
            precision: precision(case),
            kernel: case.kernel().to_owned(),
            expected_exponent: theory.and_then(|theory| theory.exponent),
            expected_cause: theory.map(|theory| theory.cause),
            ..Self::default()
        };
        match graded {
            Err(why) => Self { reason: format!("{}: {}", why.status.name(), why.reason), ..line },
            Ok(graded) => Self {
                grade: graded.grade.name().to_owned(),
                reason: if graded.grade == Grade::A {
                    String::new()
                } else {
                    graded.reasons().join("; ")
                },
                exponent: graded.growth.map(|law| law.exponent),
                exponent_ci95_low: graded.growth.map(|law| law.ci95_low),
                exponent_ci95_high: graded.growth.map(|law| law.ci95_high),
                false_zeros: Some(graded.false_zeros),
                span_ratio: graded.spans.iter().map(|span| span.1).reduce(f64::max),
                row_ratio: Some(graded.by_rows),
                norm_ratio: Some(graded.normwise),
                ..line
            },
        }
    }
}

fn table(lines: &[Line]) -> String {
    let head =
        ["device", "precision", "kernel", "grade", "error ~ n^", "95 % interval", "theory", "why"];
    let mut cells = vec![head.map(str::to_owned).to_vec()];
    for line in lines {
        let number = |x: Option<f64>| x.map_or("-".to_owned(), |x| significant(x, 3));
        let interval = match (line.exponent_ci95_low, line.exponent_ci95_high) {
            (Some(low), Some(high)) => {
                format!("[{}, {}]", significant(low, 3), significant(high, 3))
            }
            _ => "-".to_owned(),
        };
        cells.push(vec![
            line.device.clone(),
            line.precision.clone(),
            line.kernel.clone(),
            if line.grade.is_empty() { "-".to_owned() } else { line.grade.clone() },
            number(line.exponent),
            interval,
            match (line.expected_exponent, line.expected_cause) {
                (Some(exponent), Some(cause)) => format!("{exponent} ({})", cause.name()),
                (None, Some(cause)) => cause.name().to_owned(),
                _ => "-".to_owned(),
            },
            line.reason.clone(),
        ]);
    }
    output::table(&cells, &[4, 6])
        + "\nexponents: largest |error| / (u·|A||B|) over uniform (0, 1) inputs, n from 16 to 512; the worst \
           case is 1, theory that of the cause in brackets, which is typically the largest at these n\n"
}
