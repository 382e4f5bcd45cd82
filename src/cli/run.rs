//! `tradeoff run`: what `cargo bench` measures, without cargo, and in parts.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use tradeoff::measure::sampler::SamplerOptions;
use tradeoff::measure::{Case, Ending, Session, describe_plan, kernel_changes, run_plan};
use tradeoff::record::{
    self, Provenance, Record, Repairs, Resumption, Row, RunFolder, RunPlan, Shard, Status, summary,
};

use super::progress::{Progress, STOPPED_CODE, listen_to_ctrl_c};
use super::selection::{SelectionArgs, Variables};

/// Measures the selected cases: error, speed, and a row of results/<run>/measurements.csv for each.
///
/// A case is verified against the truth and its mirror, and then timed, as by `cargo bench`. Ctrl-C
/// stops after the current sample and keeps what was measured. Exit code 0; 1 if a case was wrong
/// (a run of SGD that diverged is) or failed; 2 on bad input; 130 if stopped.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  tradeoff run                                          everything, on every device
  tradeoff run matmul --precision fp16,int8 --size 256..4096 --problem normal --time 10s
  tradeoff run sgd --data-set digits --batch 1,32,n --steps 1000 --device cpu
  tradeoff run sgd --learning-rate 0.25x,0.5x,auto,2x   tunes each setting, for `tradeoff report`
  tradeoff run --shard 2/4 -o shards                    the second of four machines
  tradeoff run --resume results/20260102T030405Z-box    what is missing of an interrupted run")]
pub struct Run {
    #[command(flatten)]
    selection: SelectionArgs,
    /// Time for the samples of one case, such as 500ms, 10s or 2m.
    #[arg(long, default_value = "1s", value_parser = parse_time)]
    time: Duration,
    /// Most samples of one case [default: 30]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    samples: Option<u32>,
    /// Measure only part I of the N parts of the plan; `tradeoff merge` joins them.
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,
    /// Folder in which the run's own folder is made [TRADEOFF_RESULTS; default: results]
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Measure what is missing of a run, with its own selection.
    #[arg(long, value_name = "RUN", conflicts_with_all = [
        "workload", "precision", "size", "kernel", "problem", "data_set", "batch", "steps", "seed",
        "trial", "device", "checks", "roofline", "tune", "time", "samples", "shard", "output",
    ])]
    resume: Option<PathBuf>,
    /// Resume although a device, a driver, a kernel or the program has changed; run.json says so.
    #[arg(long)]
    allow_changes: bool,
}

/// A run that is ready to go, or to go on.
struct Job {
    session: Session,
    /// Cases without a row.
    missing: Vec<Case>,
    /// Rows that the run has already.
    rows: Vec<Record>,
    folder: RunFolder,
    options: SamplerOptions,
}

impl Run {
    pub fn run(&self) -> anyhow::Result<ExitCode> {
        // Not clap's `requires`, which gives way where a flag excludes --resume.
        let useless = self.allow_changes && self.resume.is_none();
        ensure!(!useless, "--allow-changes is of use with --resume <RUN> alone");
        let job = match &self.resume {
            Some(path) => self.resume(path)?,
            None => self.begin()?,
        };
        listen_to_ctrl_c().context("listening to Ctrl-C")?;
        job.run()
    }

    fn begin(&self) -> anyhow::Result<Job> {
        let samples = self.samples.map(|samples| samples as usize);
        let options = SamplerOptions { time: self.time, samples };
        let variables = self.selection.variables()?;
        let (session, cases, mut provenance) = variables.session()?;
        let plan = describe_plan(&variables.values, &options, self.shard, &cases);
        let missing = of_shard(&cases, self.shard)?;
        provenance.plan = Some(plan);
        let root = self.output.as_ref().unwrap_or(&session.selection.results);
        let folder = RunFolder::create(root, provenance)?;
        eprintln!("{} cases to {}", missing.len(), folder.path().display());
        Ok(Job { session, missing, rows: vec![], folder, options })
    }

    fn resume(&self, path: &Path) -> anyhow::Result<Job> {
        let before = record::read_provenance(&path.join(Provenance::FILE))?;
        let cannot = || format!("cannot resume `{}`", path.display());
        let plan = resumable(&before).with_context(cannot)?;
        let (session, cases, now) = Variables::of_plan(&plan.selection).session()?;
        let mut changes = before.changes(&now);
        self.refuse(&changes).with_context(cannot)?;
        let own = own_cases(plan, &cases).with_context(cannot)?;

        let resumed = RunFolder::resume(path)?;
        tell(&resumed.repairs);
        let (mut folder, rows) = (resumed.folder, resumed.rows);
        changes.extend(kernel_changes(&rows, &session, &cases));
        self.refuse(&changes).with_context(cannot)?;
        let is_missing = |case: &Case| {
            let id = case.to_string();
            !rows.iter().any(|row| row.case_id == id)
        };
        let missing: Vec<Case> = own.into_iter().filter(is_missing).collect();
        eprintln!("{} cases are missing of {}", missing.len(), path.display());
        if !missing.is_empty() {
            let host = now.host.clone().filter(|_| now.host != before.host);
            let resumption = Resumption { utc: now.utc, host, changes };
            folder.update_provenance(|provenance| provenance.resumed.push(resumption))?;
        }
        let options = SamplerOptions {
            time: Duration::try_from_secs_f64(plan.time_s).with_context(cannot)?,
            samples: plan.samples,
        };
        Ok(Job { session, missing, rows, folder, options })
    }

    fn refuse(&self, changes: &[String]) -> anyhow::Result<()> {
        ensure!(
            changes.is_empty() || self.allow_changes,
            "{}; measure anew, or add --allow-changes, which run.json will tell",
            changes.join("; ")
        );
        Ok(())
    }
}

impl Job {
    fn run(mut self) -> anyhow::Result<ExitCode> {
        let done = self.rows.len();
        let tell = &mut |line: &str| eprintln!("{line}");
        self.session.measure_rooflines(&self.missing, tell);
        self.session.tune(&self.missing, tell);
        let mut progress = Progress::new(done, done + self.missing.len());
        let Self { session, missing, folder, options, .. } = &mut self;
        let ending = run_plan(session, missing, folder, options, &mut progress);
        progress.finish();
        let go_on = format!("go on with `tradeoff run --resume {}`", folder.path().display());
        let ending = ending.with_context(|| format!("the run stopped; {go_on}"))?;
        let left = missing.len() - progress.rows.len();
        self.rows.append(&mut progress.rows);

        let table = summary::summary(&self.rows);
        let gap = if table.is_empty() { "" } else { "\n" };
        let place = self.folder.path().join(Record::FILE);
        super::output::print(&format!(
            "{table}{gap}{} rows in {}\n",
            self.rows.len(),
            place.display()
        ))?;
        if let Some(faults) = summary::faults(&self.rows) {
            eprintln!("{faults}");
        }
        if ending == Ending::Stopped {
            eprintln!("stopped with {left} cases left; {go_on}");
            return Ok(ExitCode::from(STOPPED_CODE));
        }
        let bad = |row: &Record| matches!(row.status, Status::Wrong | Status::Failed);
        Ok(if self.rows.iter().any(bad) { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

/// A time with its unit, over 0.
fn parse_time(text: &str) -> Result<Duration, String> {
    let time = text.parse::<jiff::SignedDuration>().ok().and_then(|t| Duration::try_from(t).ok());
    time.filter(|time| !time.is_zero())
        .ok_or_else(|| "write a time over 0 with its unit, such as 500ms, 10s or 2m".to_owned())
}

/// The cases of a shard; there is at least one.
fn of_shard(cases: &[Case], shard: Option<Shard>) -> anyhow::Result<Vec<Case>> {
    let Some(shard) = shard else { return Ok(cases.to_vec()) };
    let own = cases.iter().enumerate().filter(|(position, _)| shard.has(*position));
    let own: Vec<Case> = own.map(|(_, case)| case.clone()).collect();
    let count = cases.len();
    ensure!(
        !own.is_empty(),
        "shard {shard} of {count} cases is empty; use {count} shards or fewer"
    );
    Ok(own)
}

/// The plan of a run that can be resumed.
fn resumable(provenance: &Provenance) -> anyhow::Result<&RunPlan> {
    ensure!(
        provenance.parts.is_empty(),
        "it is a merge; resume the part that is not finished, and merge again"
    );
    provenance.plan.as_ref().context(
        "run.json has no plan, so it is no run of `tradeoff run`; only such runs can be resumed",
    )
}

/// The cases of a plan's shard, which must all be possible here.
fn own_cases(plan: &RunPlan, cases: &[Case]) -> anyhow::Result<Vec<Case>> {
    let find = |id: &str| match cases.iter().find(|case| case.to_string() == id) {
        Some(case) => Ok(case.clone()),
        None => {
            bail!("case `{id}` of its plan is none here; `tradeoff devices` shows what there is")
        }
    };
    plan.own_cases().map(find).collect()
}

/// What an interruption had left behind.
fn tell(repairs: &Repairs) {
    let Repairs { cut_lines, rows, samples, points } = *repairs;
    if *repairs != Repairs::default() {
        eprintln!(
            "took out what an interruption had left: {cut_lines} lines cut short, {rows} rows \
             without all of their samples, {samples} samples and {points} points of unfinished \
             cases"
        );
    }
}
