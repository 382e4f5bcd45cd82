//! `tradeoff validate`: the theory of rounding errors beside what this program computes.

use std::process::ExitCode;
use std::time::Instant;

use anyhow::bail;
use tradeoff::report::validation::document;
use tradeoff::validation::{Experiment, PLANS, Plan, Row, SEED};

use super::output;

/// Measures what theory predicts of rounding errors, and prints both as Markdown.
///
/// How errors grow with k, where f16 sums stagnate, what int8 costs, how biased few random bits are and what
/// they do to SGD, where it stalls and how far averaging and bit centring take it: each beside its formula,
/// with a confidence interval. Needs no GPU: the CPU computes it, nearly all by the mirrors to whose bits
/// every kernel is held. Without names, from seed 1, the output is docs/VALIDATION.md; it takes a minute at
/// most.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  tradeoff validate > VALIDATION.md      everything
  tradeoff validate int8 stagnation      two of the experiments
  tradeoff validate --seed 2             other random bits
  tradeoff validate --json | jq '.[].rows[] | select(.agrees | not)'

Exit status: 0; 1 if a row differs and it is not known why; 2 on bad input.")]
pub struct Validate {
    /// Experiments: growth, stagnation, rounding, random-bits, int8, stall, floor, few-bits, halp, exact
    /// [default: all]
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// The seed of all random bits.
    #[arg(long, value_name = "N", default_value_t = SEED)]
    seed: u32,
    /// Print JSON, with all digits.
    #[arg(long)]
    json: bool,
}

impl Validate {
    pub fn run(&self) -> anyhow::Result<ExitCode> {
        let experiments: Vec<Experiment> =
            self.plans()?.iter().map(|plan| self.told(plan)).collect::<anyhow::Result<_>>()?;
        let text = if self.json {
            serde_json::to_string_pretty(&experiments)? + "\n"
        } else {
            document(&experiments, self.seed)
        };
        output::print(&text)?;
        let unexplained = experiments.iter().flat_map(|one| &one.rows).any(Row::is_unexplained);
        Ok(if unexplained { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }

    /// Those that were named, in their own order.
    fn plans(&self) -> anyhow::Result<Vec<Plan>> {
        for name in &self.names {
            if !PLANS.iter().any(|plan| plan.name == name) {
                let all = PLANS.map(|plan| plan.name).join(", ");
                bail!("unknown experiment `{name}`; valid are {all}");
            }
        }
        let named =
            |plan: &Plan| self.names.is_empty() || self.names.iter().any(|n| n == plan.name);
        Ok(PLANS.into_iter().filter(named).collect())
    }

    fn told(&self, plan: &Plan) -> anyhow::Result<Experiment> {
        let started = Instant::now();
        let experiment = plan.run(self.seed)?;
        let agree = experiment.rows.iter().filter(|row| row.agrees).count();
        eprintln!(
            "{}: {agree} of {} agree ({})",
            plan.name,
            experiment.rows.len(),
            output::time(started.elapsed().as_nanos() as f64)
        );
        Ok(experiment)
    }
}
