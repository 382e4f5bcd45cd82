//! `tradeoff run --repeats N`: the plan in N processes, one after the other, whose samples are then
//! collected into one run.
//!
//! Each process writes a run of its own to `processes/<number>/` in the folder of the run; these go
//! when the run has all their rows. So a run that is cut short anywhere is resumed: a process that
//! had begun goes on, the others follow, and the rows are collected.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::Value;
use tradeoff::fingerprint::summation::{joined_fingerprints, listed};
use tradeoff::measure::{Case, Ending, Measured, pool};
use tradeoff::record::{
    Provenance, Record, RunFolder, RunPlan, read, read_provenance, read_samples, read_trajectory,
};

use super::progress::{STOPPED_CODE, is_stopped};

/// The folder of the processes' own runs.
const PROCESSES: &str = "processes";

/// How often a process is looked after: rarely enough to take no time from what it measures.
const LOOK: Duration = Duration::from_millis(100);

/// A run of several processes.
pub struct Repeat<'a> {
    folder: &'a mut RunFolder,
    processes: u32,
    allow_changes: bool,
}

impl<'a> Repeat<'a> {
    pub fn new(folder: &'a mut RunFolder, processes: u32, allow_changes: bool) -> Self {
        Self { folder, processes, allow_changes }
    }

    /// Measures what is `missing`, and adds its rows to `rows` and to the folder.
    pub fn run(self, missing: &[Case], rows: &mut Vec<Record>) -> anyhow::Result<Ending> {
        let plan = self.folder.provenance().plan.clone().context("run.json has no plan")?;
        let root = self.folder.path().join(PROCESSES);
        let mut parts = vec![];
        for process in 0..self.processes {
            if is_stopped() {
                return Ok(Ending::Stopped);
            }
            eprintln!("process {} of {}", process + 1, self.processes);
            let place = root.join(process.to_string());
            let orders = orders_after(&parts, &plan)?;
            let status = self.start(&plan, orders, &place)?;
            if status.code() == Some(STOPPED_CODE.into()) || is_stopped() {
                return Ok(Ending::Stopped);
            }
            // 1: a case was wrong or failed, as its row says.
            if !matches!(status.code(), Some(0 | 1)) {
                bail!("process {} ended with {status}", process + 1);
            }
            parts.push(begun(&place)?.context("a process wrote no run")?);
        }
        self.collect(&parts, missing, rows)?;
        fs::remove_dir_all(&root).with_context(|| format!("removing `{}`", root.display()))?;
        Ok(Ending::Complete)
    }

    /// Runs one process to its end, or until Ctrl-C; its own stop reaches it by Ctrl-C too, or by
    /// the end of its stdin.
    fn start(
        &self,
        plan: &RunPlan,
        orders: Option<&str>,
        place: &Path,
    ) -> anyhow::Result<ExitStatus> {
        let program = std::env::current_exe().context("finding this program's own file")?;
        let mut command = Command::new(program);
        command.args(["run", "--child"]);
        match begun(place)? {
            Some(run) => {
                command.arg("--resume").arg(run);
                command.args(self.allow_changes.then_some("--allow-changes"));
            }
            None => select(&mut command, plan, orders, place),
        }
        command.stdin(Stdio::piped()).stdout(Stdio::null());
        let mut child = command.spawn().context("starting a process of this program")?;
        wait(&mut child).context("waiting for a process")
    }

    /// Pools the processes' samples case by case, in the order of the plan.
    fn collect(
        self,
        parts: &[PathBuf],
        missing: &[Case],
        rows: &mut Vec<Record>,
    ) -> anyhow::Result<()> {
        let parts = parts.iter().map(|part| Part::read(part)).collect::<Result<Vec<_>, _>>()?;
        let first = parts.first().context("there is no process")?;
        let fingerprints = fingerprints(parts.iter().map(|part| &part.provenance));
        let interleaved = first.provenance.interleaved.clone();
        let rooflines = first.provenance.rooflines.clone();
        self.folder.update_provenance(|provenance| {
            provenance.rooflines = rooflines;
            provenance.fingerprints = joined_fingerprints(&provenance.fingerprints, fingerprints);
            provenance.interleaved = interleaved;
        })?;
        for case in missing {
            let id = case.to_string();
            let measured = parts.iter().map(|part| part.case(&id)).collect::<Option<Vec<_>>>();
            let measured = measured.with_context(|| format!("a process has no row of `{id}`"))?;
            let Measured { record, samples, trajectory } = pool(&measured)?;
            self.folder.append_case(&record, &samples, &trajectory)?;
            rows.push(record);
        }
        Ok(())
    }
}

/// What the processes know of the devices: orders that the first left out the next may have found.
fn fingerprints<'a>(processes: impl Iterator<Item = &'a Provenance>) -> Value {
    processes.fold(Value::Null, |known, process| {
        joined_fingerprints(&known, process.fingerprints.clone())
    })
}

/// The policy on summation orders of a process after `parts`; `None`: that of the plan. The first asks as it
/// says, those after it only for what is left out, if anything is.
fn orders_after(parts: &[PathBuf], plan: &RunPlan) -> anyhow::Result<Option<&'static str>> {
    let off = plan.selection.get(ORDERS).is_some_and(|policy| policy.trim() == "off");
    if parts.is_empty() || off {
        return Ok(None);
    }
    let before = parts.iter().map(|part| read_provenance(part)).collect::<Result<Vec<_>, _>>()?;
    let known = fingerprints(before.iter());
    let mut devices = known.as_object().into_iter().flat_map(|devices| devices.values());
    let left_out = devices.any(|device| listed(device).iter().any(|order| !order.is_asked()));
    Ok(Some(if left_out { "cached" } else { "off" }))
}

/// The variable of the policy on summation orders.
const ORDERS: &str = "TRADEOFF_ORDERS";

/// The selection by its variables, which flags of the parent may have set; the rest by flags.
fn select(command: &mut Command, plan: &RunPlan, orders: Option<&str>, place: &Path) {
    for (name, _) in std::env::vars_os() {
        // Where the cache is selects no case, but the kernels' parameters come from there.
        if name.to_string_lossy().starts_with("TRADEOFF_") && name != "TRADEOFF_CACHE" {
            command.env_remove(name);
        }
    }
    command.envs(&plan.selection).arg("-o").arg(place);
    command.envs(orders.map(|policy| (ORDERS, policy)));
    command.args(["--time", &format!("{}ns", (plan.time_s * 1e9).round() as u64)]);
    let interval = plan.interval.map_or("off".to_owned(), |width| format!("{}%", width * 100.0));
    command.args(["--interval", &interval]);
    command.args(["--interleave", &plan.interleaving, "--cache", &plan.cache]);
    if let Some(samples) = plan.samples {
        command.args(["--samples", &samples.to_string()]);
    }
    if let Some(shard) = plan.shard {
        command.args(["--shard", &shard.to_string()]);
    }
}

/// The run that a process has begun; what it had not even described is removed.
fn begun(place: &Path) -> anyhow::Result<Option<PathBuf>> {
    let Ok(entries) = fs::read_dir(place) else { return Ok(None) };
    for entry in entries.flatten().map(|entry| entry.path()) {
        if entry.join(Provenance::FILE).is_file() {
            return Ok(Some(entry));
        }
        fs::remove_dir_all(&entry).with_context(|| format!("removing `{}`", entry.display()))?;
    }
    Ok(None)
}

/// Waits for a process; a stop closes its stdin, which stops it after its current sample.
fn wait(child: &mut Child) -> std::io::Result<ExitStatus> {
    let mut stdin = child.stdin.take();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if is_stopped() {
            drop(stdin.take());
        }
        std::thread::sleep(LOOK);
    }
}

/// What one process measured.
struct Part {
    provenance: Provenance,
    measured: Vec<Measured>,
}

impl Part {
    fn read(path: &Path) -> anyhow::Result<Self> {
        let (samples, trajectory) = (read_samples(path)?, read_trajectory(path)?);
        let whole = |record: Record| {
            let id = record.case_id.clone();
            Measured {
                samples: samples.iter().filter(|s| s.case_id == id).cloned().collect(),
                trajectory: trajectory.iter().filter(|p| p.case_id == id).cloned().collect(),
                record,
            }
        };
        let measured = read(path)?.into_iter().map(whole).collect();
        Ok(Self { provenance: read_provenance(path)?, measured })
    }

    fn case(&self, id: &str) -> Option<&Measured> {
        self.measured.iter().find(|measured| measured.record.case_id == id)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tradeoff::fingerprint::kernels::KernelOrder;
    use tradeoff::fingerprint::summation::put;

    use super::*;

    /// What a process writes of two kernels of one device: the orders of those named, nothing of the other.
    fn process(root: &Path, name: &str, found: &[&str]) -> PathBuf {
        let order = |kernel: &&str| match KernelOrder::of_name(kernel, "fp32") {
            order if found.contains(kernel) => {
                KernelOrder { order: "sequential".to_owned(), ..order }
            }
            order => order.not_asked("no time"),
        };
        let mut fingerprint = json!({ "sha256": "0" });
        put(&mut fingerprint, &["naive", "gemv"].iter().map(order).collect::<Vec<_>>());
        let fingerprints = json!({ "gpu": fingerprint });
        let folder = root.join(name);
        fs::create_dir(&folder).unwrap();
        let provenance = Provenance { fingerprints, ..Provenance::collect() };
        let text = serde_json::to_string(&provenance).unwrap();
        fs::write(folder.join(Provenance::FILE), text).unwrap();
        folder
    }

    /// Each process asks what those before it left out, and what any has found is kept.
    #[test]
    fn processes_go_on_with_the_orders() {
        let root = tempfile::tempdir().unwrap();
        let plan = RunPlan {
            selection: [(ORDERS.to_owned(), "force".to_owned())].into(),
            ..RunPlan::default()
        };
        let parts = [process(root.path(), "0", &["naive"]), process(root.path(), "1", &["gemv"])];
        assert_eq!(orders_after(&[], &plan).unwrap(), None);
        assert_eq!(orders_after(&parts[..1], &plan).unwrap(), Some("cached"));
        assert_eq!(orders_after(&parts, &plan).unwrap(), Some("off"));
        let provenances = parts.map(|part| read_provenance(&part).unwrap());
        let all = listed(&fingerprints(provenances.iter())["gpu"]);
        assert!(all.len() == 2 && all.iter().all(KernelOrder::is_asked), "{all:?}");

        let mut command = Command::new("tradeoff");
        select(&mut command, &plan, Some("cached"), root.path());
        let set = command.get_envs().find(|(name, _)| *name == ORDERS);
        assert_eq!(set.and_then(|(_, value)| value), Some("cached".as_ref()));
        let off = [(ORDERS.to_owned(), "off".to_owned())].into();
        let off = RunPlan { selection: off, ..plan };
        let left_out = [root.path().join("0")];
        assert_eq!(orders_after(&left_out, &off).unwrap(), None, "as the plan says");
    }
}
