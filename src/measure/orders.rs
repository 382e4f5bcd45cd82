//! In which order the kernels sum that a run measured: found out once all is measured, so that no timing
//! is disturbed, or taken from the cache.
//!
//! Nearly all of the time goes to the compiler: a kernel's sizes are compiled into it, and those of the
//! question (2,016 rows, 64 products) are no run's. What that takes is known from the rows.

use std::time::{Duration, Instant};

use serde::Serialize;

use super::cache::{Adapter, Cache, Policy};
use super::plan::keep_fingerprints;
use super::session::Session;
use crate::fingerprint::kernels::{self, KernelOrder, TERMS};
use crate::gpu::{Context, GpuError};
use crate::number::{Arithmetic, Precision};
use crate::record::{Record, RecordError, RunFolder, Status};
use crate::words::counted;
use crate::workload::matmul::{Kernel, KernelSource};

/// Part of the time that a run took which finding orders out may take on top. What does not fit is left to
/// later runs, which go on with it where they are long enough for any.
const SHARE: f64 = 0.03;

/// What a kernel is taken to need at least: where the driver has cached the kernels of a run, its rows do
/// not tell what a compiler needs, and one under load needs as much.
const LEAST: Duration = Duration::from_millis(500);

/// Name of the cache's files.
const KIND: &str = "order";

/// What an order depends on. Another value of any of these is another order.
#[derive(Serialize)]
struct Key<'a> {
    #[serde(flatten)]
    adapter: Adapter,
    crate_version: &'static str,
    wgpu_version: &'a str,
    /// Name of the processor that computes for a software adapter.
    host: Option<&'a str>,
    /// Which numbers stand for M and for a unit.
    arithmetic: Arithmetic,
    checks: bool,
    terms: usize,
    kernel: &'a str,
    precision: &'a str,
    parameters: &'a str,
    kernel_sha256: &'a str,
}

/// A kernel that a run measured.
struct Measured {
    /// Position of its device.
    position: usize,
    /// What identifies it; without an order yet.
    order: KernelOrder,
    /// The least time that any row's pipelines took to compile.
    compiling: Duration,
}

/// How far the time goes that orders may take.
struct Budget {
    /// `None`: as far as it takes.
    all: Option<Duration>,
    spent: Duration,
    found: u32,
    /// Kernels that there was no time for.
    refused: u32,
}

impl Budget {
    /// Refuses a kernel that took so long to compile where there is no time for it, by that and by what
    /// those before it took: the reason.
    fn refusal(&mut self, compiling: Duration) -> Option<String> {
        let mean = self.spent.checked_div(self.found).unwrap_or_default();
        let (needed, all) = (compiling.max(mean).max(LEAST), self.all?);
        if self.spent + needed <= all {
            return None;
        }
        self.refused += 1;
        let [needed, spent, share] = [needed, self.spent, all].map(|time| time.as_secs_f64());
        Some(if needed > share {
            format!(
                "it needs {needed:.1} s or more, and the run had {share:.2} s for orders, 3 % of its \
                 time; a longer run asks, or one with {FORCE}"
            )
        } else {
            format!(
                "it needs {needed:.1} s or more, and of the {share:.1} s that the run had for orders, 3 % \
                 of its time, {spent:.1} s were spent; the next such run goes on, or one with {FORCE}"
            )
        })
    }
}

/// What has all kernels asked.
const FORCE: &str = "--orders force (TRADEOFF_ORDERS=force)";

/// Finds out in which order the kernels of `rows` sum, as the selection's policy says, and writes it to
/// `run.json` beside the fingerprints. `took` is the time that the run took; 3 % of that may go to
/// kernels that no cache knows, unless the policy is to ask them all. A kernel that is not asked is listed
/// with the reason. What happens goes to `tell`, line by line.
///
/// # Errors
/// [`RecordError`] where the folder cannot be written.
pub fn keep_orders(
    session: &mut Session,
    rows: &[Record],
    folder: &mut RunFolder,
    took: Duration,
    stopped: &mut dyn FnMut() -> bool,
    tell: &mut dyn FnMut(&str),
) -> Result<(), RecordError> {
    session.find_orders(rows, took, stopped, tell);
    keep_fingerprints(session, folder)
}

impl Session {
    /// The orders of the kernels of `rows`, as [`keep_orders`] says.
    fn find_orders(
        &mut self,
        rows: &[Record],
        took: Duration,
        stopped: &mut dyn FnMut() -> bool,
        tell: &mut dyn FnMut(&str),
    ) {
        let policy = self.selection.orders;
        if policy == Policy::Off {
            return;
        }
        let all = (policy == Policy::Cached).then(|| took.mul_f64(SHARE));
        let mut budget = Budget { all, spent: Duration::ZERO, found: 0, refused: 0 };
        let cache = self.open_cache(tell);
        let measured = self.measured_kernels(rows);
        self.orders.iter_mut().for_each(Vec::clear);
        let mut left_out = 0;
        for one in measured {
            let position = one.position;
            let order = self.find_order(one, &mut budget, cache.as_ref(), stopped, tell);
            left_out += u32::from(!order.is_asked());
            self.orders[position].push(order);
        }
        if let Some(line) = budget.told(left_out) {
            tell(&line);
        }
    }

    /// The kernels of the matrix products of `rows` that were timed, each once.
    fn measured_kernels(&self, rows: &[Record]) -> Vec<Measured> {
        let mut measured: Vec<Measured> = vec![];
        let timed = |row: &&Record| row.workload == "matmul" && row.status == Status::Ok;
        for row in rows.iter().filter(timed) {
            let found = self.devices().iter().position(|device| device.info.slug == row.device);
            let Some(position) = found else { continue };
            let order = KernelOrder {
                parameters: row.kernel_parameters.clone(),
                wgsl_sha256: row.wgsl_sha256.clone(),
                ..KernelOrder::of_name(&row.kernel, &row.precision)
            };
            let compiling = row.pipeline_compile_ns.unwrap_or_default().clamp(0.0, 1e12);
            let compiling = Duration::from_nanos(compiling as u64);
            let known = measured
                .iter_mut()
                .find(|known| known.position == position && known.order.is_of_the_same(&order));
            match known {
                Some(known) => known.compiling = known.compiling.min(compiling),
                None => measured.push(Measured { position, order, compiling }),
            }
        }
        measured
    }

    /// The order of one kernel, or why nobody looked.
    fn find_order(
        &mut self,
        one: Measured,
        budget: &mut Budget,
        cache: Option<&Cache>,
        stopped: &mut dyn FnMut() -> bool,
        tell: &mut dyn FnMut(&str),
    ) -> KernelOrder {
        let Measured { position, order, compiling } = one;
        let Ok(precision) = order.precision.parse::<Precision>() else {
            return order.not_asked("this program knows no such precision");
        };
        // Opening a device may take seconds; one that is open still tells what the cache has.
        if !self.is_opened(position) && stopped() {
            return order.not_asked(STOPPED);
        }
        let context = match self.opened_at(position) {
            Ok(Some(context)) => context,
            Ok(None) => return kernels::of_mirror(precision),
            Err(error) => return order.not_asked(&error.to_string()),
        };
        let source = match source(&order, precision, &context) {
            Ok(source) => source,
            Err(why) => return order.not_asked(&why),
        };
        let key = self.order_key(&context, &order);
        let policy = self.selection.orders;
        let cache_of = |key: &Key<'_>| {
            let cache = cache.filter(|_| policy == Policy::Cached)?;
            cache.load::<KernelOrder>(KIND, key).ok().flatten()
        };
        if let Some(known) = cache_of(&key) {
            return known;
        }
        let is_asked = kernels::is_revealed(precision, context.fingerprint.arithmetic);
        if is_asked && stopped() {
            return order.not_asked(STOPPED);
        }
        if is_asked && let Some(why) = budget.refusal(compiling) {
            return order.not_asked(&why);
        }
        let started = Instant::now();
        let found = kernels::of_source(&context, &source, self.selection.checks);
        if is_asked {
            budget.spent += started.elapsed();
            budget.found += 1;
        }
        match found {
            Ok(found) => {
                // What failed for now may succeed in the next run, which asks again, as without a cache.
                let keeps = is_asked && found.is_asked();
                let _ = cache.filter(|_| keeps).map(|cache| cache.store(KIND, &key, &found));
                found
            }
            Err(error) => {
                drop(context);
                self.lost(position, &order, &error, tell)
            }
        }
    }

    /// Gives up a device that failed on a kernel, and says so in place of its order.
    fn lost(
        &mut self,
        position: usize,
        order: &KernelOrder,
        error: &GpuError,
        tell: &mut dyn FnMut(&str),
    ) -> KernelOrder {
        self.forget(position);
        let slug = &self.devices()[position].info.slug;
        tell(&format!("warning: no summation order of {} on {slug}: {error}", order.of_what()));
        order.clone().not_asked(&error.to_string())
    }

    fn order_key<'a>(&'a self, context: &'a Context, order: &'a KernelOrder) -> Key<'a> {
        let info = &context.info;
        Key {
            adapter: Adapter::of(info),
            crate_version: env!("CARGO_PKG_VERSION"),
            wgpu_version: self.wgpu_version(),
            host: (info.device_type == "cpu").then(|| self.cpu_name()),
            arithmetic: context.fingerprint.arithmetic,
            checks: self.selection.checks,
            terms: TERMS,
            kernel: &order.kernel,
            precision: &order.precision,
            parameters: &order.parameters,
            kernel_sha256: &order.wgsl_sha256,
        }
    }
}

impl Budget {
    /// A line on what was done, where that is more than leaving kernels out of a run too short for any.
    fn told(&self, left_out: u32) -> Option<String> {
        let Self { found, refused, spent, .. } = self;
        if *found == 0 && left_out == *refused {
            return None;
        }
        let kernels = counted(*found as usize, "kernel");
        let done = format!("summation orders: asked {kernels} in {:.1} s", spent.as_secs_f64());
        Some(match (left_out, refused) {
            (0, _) => done,
            (_, 0) => format!("{done}, and left {left_out} out, as run.json says"),
            _ => format!("{done}, and left {left_out} out, as run.json says; {FORCE} asks all"),
        })
    }
}

/// Why nobody looked.
const STOPPED: &str = "the run was stopped";

/// The kernel that a row names, or why it cannot be asked.
fn source(
    order: &KernelOrder,
    precision: Precision,
    context: &Context,
) -> Result<KernelSource, String> {
    let kernel: Kernel = order.kernel.parse()?;
    if !kernel.computes(precision) {
        return Err("this program has no such kernel".to_owned());
    }
    let parameters =
        order.parameters.parse().map_err(|_| "it has no such parameters".to_owned())?;
    let source = KernelSource::with(kernel, precision, &context.info, parameters)
        .map_err(|_| "this program's kernel has no such parameters".to_owned())?;
    if source.sha256() != order.wgsl_sha256 {
        return Err("the kernel was another than this program's".to_owned());
    }
    Ok(source)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::fingerprint::summation::listed;
    use crate::gpu::discover;
    use crate::measure::{Case, Selection};
    use crate::record::Provenance;
    use crate::workload::matmul::{Parameters, Shape};

    fn session(policy: Policy, cache: &Path) -> Session {
        let selection = Selection {
            orders: policy,
            roofline: Policy::Off,
            tune: Policy::Off,
            cache: Some(cache.to_owned()),
            shapes: vec![Shape::square(8)],
            precisions: vec![Precision::Fp32, Precision::Int8],
            kernels: vec![Kernel::Naive],
            data_sets: vec![],
            ..Selection::default()
        };
        Session::new(discover(None).unwrap(), selection, &Provenance::collect())
    }

    /// Rows as a run would have them, untimed.
    fn rows(session: &mut Session) -> Vec<Record> {
        let cases: Vec<Case> = session.plan();
        let ready = |case: &Case| match session.prepare(case) {
            Ok(ready) => Record { status: Status::Ok, ..ready.record().clone() },
            Err(measured) => panic!("{case}: {}", measured.record.reason),
        };
        cases.iter().map(ready).collect()
    }

    /// What is told, and the order of each device's fp32 kernel.
    fn found(policy: Policy, cache: &Path, took: Duration) -> (Vec<String>, Vec<String>) {
        let mut session = session(policy, cache);
        let rows = rows(&mut session);
        let mut lines = vec![];
        session.find_orders(&rows, took, &mut || false, &mut |line| lines.push(line.to_owned()));
        let fingerprints = session.fingerprints();
        let orders = fingerprints.as_object().unwrap().values().map(|fingerprint| {
            let all = listed(fingerprint);
            if policy != Policy::Off {
                let [fp32, int8] = &all[..] else { panic!("{all:?}") };
                assert_eq!((&fp32.precision[..], &int8.precision[..]), ("fp32", "int8"));
                assert!(int8.order.starts_with("exact"), "{int8:?}");
            }
            all.first().map(|order| order.order.clone()).unwrap_or_default()
        });
        (lines, orders.collect())
    }

    /// A kernel is asked while there is time, once, and left out with its reason where there is none.
    #[test]
    fn an_order_is_found_once_and_then_cached() {
        let root = tempfile::tempdir().unwrap();
        let (long, none) = (Duration::from_secs(100_000), Duration::ZERO);
        let (lines, orders) = found(Policy::Off, root.path(), long);
        assert!(lines.is_empty() && orders.iter().all(String::is_empty), "{lines:?} {orders:?}");
        let gpus = orders.len() - 1;

        let left_out = |orders: &[String]| {
            orders.iter().filter(|order| order.starts_with(kernels::NOT_ASKED)).count()
        };
        let (lines, orders) = found(Policy::Cached, root.path(), none);
        assert_eq!(
            left_out(&orders),
            gpus,
            "each but the mirror, which takes no compiler: {orders:?}"
        );
        assert!(lines.is_empty(), "that the run was short is no news: {lines:?}");
        let share =
            "s or more, and the run had 0.00 s for orders, 3 % of its time; a longer run asks";
        let said = orders.iter().filter(|order| order.contains(share)).count();
        assert_eq!(said, gpus, "{orders:?}");
        let (lines, orders) = found(Policy::Cached, root.path(), long);
        assert!(orders.iter().all(|order| order == "sequential"), "{orders:?}");
        assert_eq!(lines.len(), usize::from(gpus > 0), "{lines:?}");
        let (lines, orders) = found(Policy::Cached, root.path(), none);
        assert!(lines.is_empty() && left_out(&orders) == 0, "from the cache: {lines:?} {orders:?}");
        let (lines, orders) = found(Policy::Force, root.path(), none);
        assert_eq!((lines.len(), left_out(&orders)), (usize::from(gpus > 0), 0), "{lines:?}");
    }

    #[test]
    fn a_kernel_of_another_program_is_not_asked() {
        let root = tempfile::tempdir().unwrap();
        let mut session = session(Policy::Force, root.path());
        let mut rows = rows(&mut session);
        for row in rows.iter_mut().filter(|row| !row.wgsl_sha256.is_empty()) {
            row.wgsl_sha256 = "0".repeat(64);
        }
        rows.push(Record { status: Status::Skipped, precision: "bf16".into(), ..rows[0].clone() });
        session.find_orders(&rows, Duration::MAX, &mut || false, &mut |_| {});
        for (device, orders) in session.devices().iter().zip(&session.orders) {
            assert_eq!(orders.len(), 2, "what was skipped is none of them");
            let told = "not asked: the kernel was another than this program's";
            assert!(
                device.is_cpu() || orders.iter().all(|order| order.order == told),
                "{orders:?}"
            );
        }
    }

    #[test]
    fn the_time_is_what_compiling_took_or_those_before_it() {
        let second = Duration::from_secs(1);
        let budget = |spent: u32, found| {
            let (all, spent) = (Some(10 * second), spent * second);
            Budget { all, spent, found, refused: 0 }
        };
        let refusal = |mut budget: Budget, compiling| budget.refusal(compiling);
        assert_eq!(refusal(budget(0, 0), 10 * second), None);
        let long = refusal(budget(0, 0), 11 * second).unwrap();
        assert!(long.starts_with("it needs 11.0 s or more, and the run had 10.00 s for"), "{long}");
        assert_eq!(refusal(budget(5, 1), second), None, "as long as the one before");
        let late = refusal(budget(6, 1), second).unwrap();
        assert!(late.contains("6.0 s were spent; the next such run goes on"), "{late}");
        assert_eq!(refusal(budget(6, 2), second), None);
        assert_eq!(refusal(Budget { all: None, ..budget(99, 1) }, 99 * second), None);
        let short = Budget { all: Some(second / 4), ..budget(0, 0) };
        let short = refusal(short, Duration::ZERO).unwrap();
        assert!(short.contains("needs 0.5 s or more, and the run had 0.25 s"), "{short}");
    }

    #[test]
    fn a_line_tells_what_was_done_or_why_it_was_not() {
        let budget =
            |found, refused| Budget { all: None, spent: Duration::from_secs(2), found, refused };
        assert_eq!(budget(0, 0).told(0), None);
        assert_eq!(budget(0, 14).told(14), None, "a short run");
        let told = budget(1, 0).told(0).unwrap();
        assert_eq!(told, "summation orders: asked 1 kernel in 2.0 s");
        let told = budget(0, 0).told(3).unwrap();
        assert!(told.ends_with("left 3 out, as run.json says"), "{told}");
        let told = budget(2, 1).told(3).unwrap();
        assert!(told.ends_with("; --orders force (TRADEOFF_ORDERS=force) asks all"), "{told}");
    }

    /// After a stop no device is opened for its orders.
    #[test]
    fn a_stop_opens_no_device() {
        let root = tempfile::tempdir().unwrap();
        let rows = rows(&mut session(Policy::Force, root.path()));
        let mut session = session(Policy::Force, root.path());
        session.find_orders(&rows, Duration::MAX, &mut || true, &mut |_| {});
        assert_eq!(session.opened().count(), 0);
        let orders = session.orders.iter().flatten();
        let told = "not asked: the run was stopped";
        assert!(orders.clone().count() > 0, "a row of each device");
        assert!(orders.clone().all(|order| order.order == told), "{:?}", session.orders);
    }

    /// Slices make another order, other tiles do not; each is that of the parameters measured.
    #[test]
    fn slices_are_seen_in_the_order() {
        for device in discover(None).unwrap().iter().filter(|device| !device.is_cpu()) {
            let context = device.open().unwrap();
            let (kernel, precision) = (Kernel::RegisterTiled, Precision::Fp32);
            let usual = KernelSource::of(kernel, precision, &context.info).parameters.to_string();
            let order = |slices: u32| {
                let shape = Shape::new(64, 64, 16384);
                let all = KernelSource::candidates(kernel, precision, shape, &context.info);
                let sliced = all.into_iter().find(|p| p.get("slices") == Some(slices));
                let parameters: Parameters = sliced.unwrap_or_else(|| panic!("{usual}"));
                let source =
                    KernelSource::with(kernel, precision, &context.info, parameters).unwrap();
                kernels::of_source(&context, &source, false).unwrap()
            };
            let [one, two, four, sixteen] = [1, 2, 4, 16].map(order);
            assert_eq!((one.tree.as_str(), one.k), ("[0..63]", 64));
            assert_eq!((two.tree.as_str(), two.k), ("([0..31] + [32..63])", 64));
            let tree = "(([0..15] + [64..79]) + ([32..47] + [96..111]))";
            assert_eq!((four.tree.as_str(), four.k), (tree, 128));
            assert_eq!((sixteen.k, sixteen.slices()), (512, 16));
            assert_eq!(sixteen.of_what(), "fp32 register_tiled in 16 slices");
            assert!(sixteen.order.starts_with("a tree of depth "), "{sixteen:?}");
        }
    }
}
