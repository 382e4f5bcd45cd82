//! The statistics of a run's rows, computed again from the samples beside them.

use std::path::Path;

use tradeoff::measure::statistics::Summary;
use tradeoff::record::{Record, Sample, Stage, Status, read, read_samples, read_trajectory};
use tradeoff::workload::sgd::Algorithm;

/// Checks every row of the run in `folder`, and returns how many were `ok`. A row that was not has
/// neither times nor samples.
///
/// # Panics
/// If a column is not, to the last bit, what the samples give.
pub fn check(folder: &Path) -> usize {
    let records = read(folder).unwrap_or_else(|error| panic!("{error}"));
    let samples = read_samples(folder).unwrap_or_else(|error| panic!("{error}"));
    let points = read_trajectory(folder).unwrap_or_else(|error| panic!("{error}"));
    let mut timed = 0;
    for record in &records {
        let own: Vec<&Sample> = samples.iter().filter(|s| s.case_id == record.case_id).collect();
        if record.status == Status::Ok {
            check_row(record, &own);
            timed += 1;
        } else {
            assert_eq!((record.median_ns, own.len()), (None, 0), "{}", record.case_id);
        }
        for point in points.iter().filter(|point| point.case_id == record.case_id) {
            let steps = record.steps.expect("only SGD has a trajectory");
            let (n, batch) = (record.examples.unwrap() as usize, record.batch.unwrap() as usize);
            let units = |steps| algorithm(record).time_units(n, batch, steps as u32) as f64;
            let elapsed = |median| median * units(point.step) / units(steps);
            let elapsed_ns = record.median_ns.map(elapsed);
            assert_eq!(point.elapsed_ns, elapsed_ns, "{}, step {}", record.case_id, point.step);
        }
    }
    let known = |id: &str| records.iter().any(|record| record.case_id == id);
    assert!(samples.iter().all(|sample| known(&sample.case_id)), "samples of no row");
    assert!(points.iter().all(|point| known(&point.case_id)), "a trajectory of no row");
    timed
}

/// Plain SGD where the row, of an earlier schema, names none.
fn algorithm(record: &Record) -> Algorithm {
    record.algorithm.parse().unwrap_or_default()
}

fn check_row(r: &Record, samples: &[&Sample]) {
    let id = &r.case_id;
    let main = if r.workload == "sgd" { Stage::Run } else { Stage::Product };
    let s = summary(samples, main).unwrap_or_else(|| panic!("{id} has no samples"));
    assert_eq!(r.samples, Some(s.samples as u64), "{id}");
    let columns = [
        (r.min_ns, s.min_ns),
        (r.q1_ns, s.q1_ns),
        (r.median_ns, s.median_ns),
        (r.q3_ns, s.q3_ns),
        (r.mad_ns, s.mad_ns),
        (r.median_ci95_low_ns, s.median_ci95_low_ns),
        (r.median_ci95_high_ns, s.median_ci95_high_ns),
    ];
    for (index, (column, computed)) in columns.into_iter().enumerate() {
        assert_eq!(column, Some(computed), "{id}, statistic {index}");
    }
    let median = s.median_ns;
    let per_second = |count: u64| count as f64 / median * 1e9;
    let work = if r.workload == "sgd" {
        let [n, d, batch, steps] = [r.examples, r.features, r.batch, r.steps].map(Option::unwrap);
        let rows = algorithm(r).rows_read(n as usize, batch as usize, steps as u32);
        assert_eq!(r.steps_per_second, Some(per_second(steps)), "{id}");
        assert_eq!(r.examples_per_second, Some(per_second(rows)), "{id}");
        assert_eq!(r.gnps, r.throughput, "{id}");
        d * rows
    } else {
        r.operations.unwrap()
    } as f64;
    assert_eq!(r.throughput, Some(work / median), "{id}");
    assert_eq!(r.bandwidth_gbs, r.bytes.map(|bytes| bytes as f64 / median), "{id}");
    let conversion = summary(samples, Stage::Conversion);
    assert_eq!(r.conversion_median_ns, conversion.map(|s| s.median_ns), "{id}");
    assert_eq!(r.conversion_median_ci95_low_ns, conversion.map(|s| s.median_ci95_low_ns), "{id}");
    assert_eq!(r.conversion_median_ci95_high_ns, conversion.map(|s| s.median_ci95_high_ns), "{id}");
    let total = summary(samples, Stage::Total);
    assert_eq!(r.total_median_ns, total.map(|s| s.median_ns), "{id}");
    assert_eq!(r.total_median_ci95_low_ns, total.map(|s| s.median_ci95_low_ns), "{id}");
    assert_eq!(r.total_median_ci95_high_ns, total.map(|s| s.median_ci95_high_ns), "{id}");
    assert_eq!(r.total_throughput, total.map(|s| work / s.median_ns), "{id}");
}

/// Of the samples of one stage, which are numbered from 0; `None` if there are none.
fn summary(samples: &[&Sample], stage: Stage) -> Option<Summary> {
    let own: Vec<&&Sample> = samples.iter().filter(|sample| sample.stage == stage).collect();
    assert!(own.iter().enumerate().all(|(i, sample)| sample.sample == i as u64), "{stage:?}");
    let drawn = own.iter().map(|sample| (sample.iterations, sample.elapsed_ns));
    (!own.is_empty()).then(|| Summary::of(drawn).unwrap())
}
