//! `tradeoff run`: what `cargo bench` measures, without cargo, and in parts.

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use tradeoff::measure::sampler::SamplerOptions;
use tradeoff::measure::{
    Caches, Case, Ending, Interleaving, RunOptions, Session, describe_plan, keep_orders,
    kernel_changes, run_plan,
};
use tradeoff::record::{
    self, Provenance, Record, Repairs, Resumption, Row, RunFolder, RunPlan, Shard, Status, summary,
};
use tradeoff::words::counted;

use super::progress::{Progress, STOPPED_CODE, is_stopped, listen_to_ctrl_c, stop_when_stdin_ends};
use super::repeat::Repeat;
use super::selection::{SelectionArgs, Variables};

/// Measures the selected cases: error, speed, and a row of results/<run>/measurements.csv for each.
///
/// A case is verified against the truth and its mirror, and then sampled until the 95 % confidence
/// interval of its median is narrow enough (--interval), or --time or --samples is reached. The
/// cases of one problem are sampled in turn, so that drift cancels in their ratios; `tradeoff ratio`
/// prints those. Ctrl-C stops after the current sample and keeps each case that has enough samples
/// for an interval.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  tradeoff run                                          everything, on every device
  tradeoff run matmul --precision fp16,int8 --size 256..4096 --distribution uniform --time 10s
  tradeoff run sgd --data-set digits --batch 1,32,n --steps 1000 --device cpu
  tradeoff run sgd --learning-rate 0.25x,0.5x,auto,2x   tunes each setting, for `tradeoff report`
  tradeoff run matmul --interval 1% --time 30s          longer, for narrower intervals
  tradeoff run matmul --cache cold                      operands from memory, not from a cache
  tradeoff run sgd --repeats 5                          in five processes, whose variance is told
  tradeoff run --shard 2/4 -o shards                    the second of four machines
  tradeoff run --resume results/20260102T030405Z-box    what is missing of an interrupted run

Exit status: 0; 1 if a case was wrong (a run of SGD that diverged is) or failed; 2 on bad input;
130 if stopped.")]
pub struct Run {
    #[command(flatten)]
    selection: SelectionArgs,
    /// Most time for the samples of one case, such as 500ms, 10s or 2m.
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = parse_time)]
    time: Duration,
    /// Most samples of one case [default: 100]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    samples: Option<u32>,
    /// Width of the median's 95 % interval, over the median, at which sampling of a case ends: a
    /// percentage, or off.
    #[arg(long, value_name = "PERCENT", default_value = "5%", value_parser = parse_interval)]
    interval: Wanted,
    /// Sample the cases of one problem in turn (rounds), or one case after the other (none).
    #[arg(long, value_enum, value_name = "HOW", default_value = "rounds")]
    interleave: InterleaveArg,
    /// Let an iteration find its buffers in the caches (warm), or go through copies of them that
    /// together are twice the last-level cache (cold).
    #[arg(long, value_enum, value_name = "STATE", default_value = "warm")]
    cache: CacheArg,
    /// Measure in so many processes, one after the other, and report their variance.
    #[arg(long, value_name = "N", default_value = "1")]
    repeats: NonZeroU32,
    /// Measure only part I of the N parts of the plan; `tradeoff merge` joins them.
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,
    /// Folder in which the run's own folder is made [TRADEOFF_RESULTS; default: results]
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Measure what is missing of a run, with its own selection.
    #[arg(long, value_name = "RUN", conflicts_with_all = [
        "workload", "precision", "size", "kernel", "distribution", "a", "b", "data_set", "batch",
        "steps", "seed", "trial", "trials", "rounding_bits", "learning_rate", "algorithm", "device", "checks", "roofline", "tune",
        "orders",
        "time", "samples", "interval", "interleave", "cache", "repeats", "shard", "output",
    ])]
    resume: Option<PathBuf>,
    /// Resume although a device, a driver, a kernel or the program has changed; run.json says so.
    #[arg(long)]
    allow_changes: bool,
    /// Stop when stdin ends: how a run of several processes stops each.
    #[arg(long, hide = true)]
    child: bool,
}

/// The wanted width; `None` for off.
#[derive(Clone, Copy)]
struct Wanted(Option<f64>);

#[derive(Clone, Copy, clap::ValueEnum)]
enum InterleaveArg {
    Rounds,
    None,
}

impl From<InterleaveArg> for Interleaving {
    fn from(argument: InterleaveArg) -> Self {
        match argument {
            InterleaveArg::Rounds => Self::Rounds,
            InterleaveArg::None => Self::None,
        }
    }
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum CacheArg {
    Warm,
    Cold,
}

impl From<CacheArg> for Caches {
    fn from(argument: CacheArg) -> Self {
        match argument {
            CacheArg::Warm => Self::Warm,
            CacheArg::Cold => Self::Cold,
        }
    }
}

/// A run that is ready to go, or to go on.
struct Job {
    session: Session,
    /// Cases without a row.
    missing: Vec<Case>,
    /// Rows that the run has already.
    rows: Vec<Record>,
    folder: RunFolder,
    options: RunOptions,
    /// More than one: each of them measures all, and this one collects.
    processes: u32,
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
        if self.child {
            stop_when_stdin_ends();
        }
        job.run(self.allow_changes)
    }

    fn begin(&self) -> anyhow::Result<Job> {
        let samples = self.samples.map(|samples| samples as usize);
        let sampler = SamplerOptions { time: self.time, samples, interval: self.interval.0 };
        let (interleaving, cache) = (self.interleave.into(), self.cache.into());
        let options = RunOptions { sampler, interleaving, cache };
        let processes = self.repeats.get();
        let variables = self.selection.variables()?;
        let (session, cases, mut provenance) = variables.session()?;
        let plan = describe_plan(&variables.values, &options, processes, self.shard, &cases);
        let missing = of_shard(&cases, self.shard)?;
        provenance.plan = Some(plan);
        let root = self.output.as_ref().unwrap_or(&session.selection.results);
        let folder = RunFolder::create(root, provenance)?;
        eprintln!("{} to {}", counted(missing.len(), "case"), folder.path().display());
        Ok(Job { session, missing, rows: vec![], folder, options, processes })
    }

    fn resume(&self, path: &Path) -> anyhow::Result<Job> {
        let before = record::read_provenance(&path.join(Provenance::FILE))?;
        let cannot = || format!("cannot resume `{}`", path.display());
        let plan = resumable(&before).with_context(cannot)?;
        let (session, cases, now) = Variables::of_plan(&plan.selection)?.session()?;
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
        eprintln!("{} missing of {}", counted(missing.len(), "case"), path.display());
        if !missing.is_empty() {
            let host = now.host.clone().filter(|_| now.host != before.host);
            let resumption = Resumption { utc: now.utc, host, changes };
            folder.update_provenance(|provenance| provenance.resumed.push(resumption))?;
        }
        let options = options_of(plan).with_context(cannot)?;
        let processes = plan.processes.max(1);
        Ok(Job { session, missing, rows, folder, options, processes })
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
    fn run(mut self, allow_changes: bool) -> anyhow::Result<ExitCode> {
        if self.processes > 1 && !self.missing.is_empty() {
            return self.repeat(allow_changes);
        }
        let (started, done) = (Instant::now(), self.rows.len());
        let tell = &mut |line: &str| eprintln!("{line}");
        self.session.measure_rooflines(&self.missing, tell);
        self.session.cache = self.options.cache;
        self.session.tune(&self.missing, tell);
        let mut progress = Progress::new(done, done + self.missing.len());
        let Self { session, missing, folder, options, .. } = &mut self;
        let ending = run_plan(session, missing, folder, options, &mut progress);
        progress.finish();
        let go_on = format!("go on with `tradeoff run --resume {}`", folder.path().display());
        let ending = ending.with_context(|| format!("the run stopped; {go_on}"))?;
        let left = missing.len() - progress.rows.len();
        self.rows.append(&mut progress.rows);
        let Self { session, rows, folder, .. } = &mut self;
        keep_orders(session, rows, folder, started.elapsed(), &mut is_stopped, tell)
            .with_context(|| format!("keeping summation orders; {go_on}"))?;
        self.end(ending, left)
    }

    /// Has each of several processes measure everything, and collects what they measured.
    fn repeat(mut self, allow_changes: bool) -> anyhow::Result<ExitCode> {
        let go_on = format!("go on with `tradeoff run --resume {}`", self.folder.path().display());
        let repeat = Repeat::new(&mut self.folder, self.processes, allow_changes);
        let ending = repeat.run(&self.missing, &mut self.rows);
        let ending = ending.with_context(|| format!("the run stopped; {go_on}"))?;
        let left = if ending == Ending::Stopped { self.missing.len() } else { 0 };
        self.end(ending, left)
    }

    /// The table of the rows, and what the exit code says of them.
    fn end(&self, ending: Ending, left: usize) -> anyhow::Result<ExitCode> {
        let go_on = format!("go on with `tradeoff run --resume {}`", self.folder.path().display());
        let table = summary::summary(&self.rows);
        let gap = if table.is_empty() { "" } else { "\n" };
        let place = self.folder.path().join(Record::FILE);
        super::output::print(&format!(
            "{table}{gap}{} in {}\n",
            counted(self.rows.len(), "row"),
            place.display()
        ))?;
        if let Some(faults) = summary::faults(&self.rows) {
            eprintln!("{faults}");
        }
        if ending == Ending::Stopped {
            eprintln!("stopped with {} left; {go_on}", counted(left, "case"));
            return Ok(ExitCode::from(STOPPED_CODE));
        }
        let bad = |row: &Record| matches!(row.status, Status::Wrong | Status::Failed);
        Ok(if self.rows.iter().any(bad) { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

/// How the cases of a plan are sampled.
fn options_of(plan: &RunPlan) -> anyhow::Result<RunOptions> {
    let sampler = SamplerOptions {
        time: Duration::try_from_secs_f64(plan.time_s)?,
        samples: plan.samples,
        interval: plan.interval,
    };
    let rounds = plan.interleaving == Interleaving::Rounds.name();
    let cold = plan.cache == Caches::Cold.name();
    Ok(RunOptions {
        sampler,
        interleaving: if rounds { Interleaving::Rounds } else { Interleaving::None },
        cache: if cold { Caches::Cold } else { Caches::Warm },
    })
}

/// A percentage over 0, or off. The sign is demanded: `5` and `0.05` could be meant either way.
fn parse_interval(text: &str) -> Result<Wanted, String> {
    if text == "off" {
        return Ok(Wanted(None));
    }
    let percent = text.strip_suffix('%').and_then(|number| number.trim().parse::<f64>().ok());
    let percent = percent.filter(|percent| percent.is_finite() && *percent > 0.0);
    let wanted = percent.map(|percent| Wanted(Some(percent / 100.0)));
    wanted.ok_or_else(|| "write a percentage over 0, such as 2%, or off".to_owned())
}

/// The longest time for a case: a year. More is a slip of the pen, and soon more than a clock counts.
const LONGEST_TIME: Duration = Duration::from_hours(365 * 24);

/// A time with its unit, over 0.
fn parse_time(text: &str) -> Result<Duration, String> {
    let time = text.parse::<jiff::SignedDuration>().ok().and_then(|t| Duration::try_from(t).ok());
    time.filter(|time| !time.is_zero() && *time <= LONGEST_TIME).ok_or_else(|| {
        "write a time over 0 with its unit, such as 500ms, 10s or 2m, of a year at most".to_owned()
    })
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
            "took out what an interruption had left: {} cut short, {} without all of their samples, \
             {} and {} of unfinished cases",
            counted(cut_lines, "line"),
            counted(rows, "row"),
            counted(samples, "sample"),
            counted(points, "point"),
        );
    }
}
