//! One case measured by several processes, as one row: the statistics of all samples together, and
//! how much the processes differ.

use super::roofline::operations_per_joule;
use super::sampler::StopReason;
use super::session::{Measured, fill_elapsed, fill_side, fill_times};
use super::statistics::{StatisticsError, Summary};
use crate::record::{Record, Sample, Stage, Status};
use crate::workload::sgd::Algorithm;

/// Joins what processes measured of one case, in their order. If one of them found it wrong, failed
/// or skipped, that is the row.
///
/// The samples are numbered on from process to process. The device's state is the first's before and
/// the last's after, the energy the mean, the wall time of sampling the sum.
///
/// # Errors
/// [`StatisticsError`] where a timed row has no samples or unusable ones.
pub fn pool(processes: &[&Measured]) -> Result<Measured, StatisticsError> {
    let Some(first) = processes.first() else { return Err(StatisticsError::NoSamples) };
    let bad = |(_, measured): &(usize, &&Measured)| measured.record.status != Status::Ok;
    if let Some((number, measured)) = processes.iter().enumerate().find(bad) {
        let mut one = (*measured).clone();
        one.record.processes = Some(processes.len() as u32);
        one.record.reason = format!("process {number}: {}", one.record.reason);
        return Ok(one);
    }
    let other = |measured: &&&Measured| identity(&measured.record) != identity(&first.record);
    if let Some(measured) = processes.iter().find(other) {
        let mut one = (*first).clone();
        one.record.processes = Some(processes.len() as u32);
        one.record.status = Status::Failed;
        one.record.reason = format!(
            "the processes ran different kernels (`{}` and `{}`); tune first, by a run without \
             --repeats, or set TRADEOFF_TUNE=off",
            first.record.kernel_parameters, measured.record.kernel_parameters
        );
        one.samples.clear();
        return Ok(one);
    }
    let mut record = first.record.clone();
    // When the last was there.
    record.utc = processes.iter().map(|p| p.record.utc.clone()).max().unwrap_or_default();
    let main = if record.workload == "sgd" { Stage::Run } else { Stage::Product };
    let mut samples = vec![];
    for stage in [main, Stage::Conversion, Stage::Total] {
        let own = numbered(processes, stage);
        if own.is_empty() && stage != main {
            continue;
        }
        let drawn: Vec<(u64, f64)> = own.iter().map(|s| (s.iterations, s.elapsed_ns)).collect();
        let summary = Summary::of(drawn.iter().copied())?;
        if stage == main {
            fill_times(&mut record, &drawn, &summary);
        } else {
            fill_side(&mut record, stage, &summary);
        }
        samples.extend(own);
    }
    fill_rates(&mut record, first.record.median_ns);
    fill_noise(&mut record, processes);
    let mut trajectory = first.trajectory.clone();
    fill_elapsed(&mut trajectory, &record);
    Ok(Measured { record, samples, trajectory })
}

/// What must be the same in all processes for their samples to be of one thing.
fn identity(record: &Record) -> [&str; 4] {
    let Record { wgsl_sha256, kernel_parameters, inputs_sha256, result_sha256, .. } = record;
    [wgsl_sha256, kernel_parameters, inputs_sha256, result_sha256]
}

/// The samples of a stage, numbered through all processes.
fn numbered(processes: &[&Measured], stage: Stage) -> Vec<Sample> {
    let all = processes.iter().enumerate().flat_map(|(process, measured)| {
        let own = measured.samples.iter().filter(move |sample| sample.stage == stage);
        own.map(move |sample| Sample { process: Some(process as u32), ..sample.clone() })
    });
    all.enumerate().map(|(number, s)| Sample { sample: number as u64, ..s }).collect()
}

/// The columns that follow from the medians; `before_ns` is the median that they follow from now.
fn fill_rates(record: &mut Record, before_ns: Option<f64>) {
    let (Some(median), Some(before)) = (record.median_ns, before_ns) else { return };
    let per_second = |count: u64| count as f64 / median * 1e9;
    let drawn = match (record.examples, record.batch, record.steps) {
        (Some(n), Some(batch), Some(steps)) => {
            let algorithm: Algorithm = record.algorithm.parse().unwrap_or_default();
            Some(algorithm.rows_read(n as usize, batch as usize, steps as u32))
        }
        _ => None,
    };
    let numbers = record.features.zip(drawn).map(|(features, rows)| features.saturating_mul(rows));
    let work = numbers.or(record.operations).map(|work| work as f64);
    record.throughput = work.map(|work| work / median);
    record.gnps = numbers.and(record.throughput);
    record.bandwidth_gbs = record.bytes.map(|bytes| bytes as f64 / median);
    record.steps_per_second = record.steps.map(per_second);
    record.examples_per_second = drawn.map(per_second);
    record.total_throughput = work.zip(record.total_median_ns).map(|(work, ns)| work / ns);
    for percent in [&mut record.percent_of_peak, &mut record.percent_of_bandwidth] {
        *percent = percent.map(|percent| percent * before / median);
    }
}

fn fill_noise(record: &mut Record, processes: &[&Measured]) {
    let rows = || processes.iter().map(|measured| &measured.record);
    let medians: Vec<f64> = rows().filter_map(|row| row.median_ns).collect();
    record.processes = Some(processes.len() as u32);
    record.between_processes_sd_ns = standard_deviation(&medians);
    record.sampling_ns = rows().map(|row| row.sampling_ns).sum();
    let reason = |row: &Record| StopReason::ALL.into_iter().find(|r| r.name() == row.stop_reason);
    if let Some(last) = rows().filter_map(reason).max() {
        record.stop_reason = last.name().to_owned();
    }
    if let Some(last) = processes.last() {
        record.clock_after_mhz = last.record.clock_after_mhz;
        record.temperature_after_c = last.record.temperature_after_c;
        record.power_after_w = last.record.power_after_w;
    }
    let mut reasons: Vec<&str> =
        rows().flat_map(|row| row.throttle_reasons.split_whitespace()).collect();
    reasons.sort_unstable();
    reasons.dedup();
    record.throttle_reasons = reasons.join(" ");
    record.throttled = rows().filter_map(|row| row.throttled).reduce(|a, b| a || b);
    let joules: Vec<f64> = rows().filter_map(|row| row.energy_j).collect();
    let mean = joules.iter().sum::<f64>() / joules.len() as f64;
    record.energy_j = Some(mean).filter(|_| !joules.is_empty());
    record.operations_per_joule = operations_per_joule(record);
}

/// Of a sample, with n − 1; `None` for fewer than two values.
fn standard_deviation(values: &[f64]) -> Option<f64> {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|x| (x - mean) * (x - mean)).sum();
    (values.len() > 1).then(|| (squares / (n - 1.0)).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::TrajectoryPoint;

    fn process(times: &[f64], status: Status) -> Measured {
        let sample = |(number, &elapsed_ns): (usize, &f64)| Sample {
            case_id: "a".into(),
            sample: number as u64,
            iterations: 2,
            elapsed_ns,
            ..Sample::default()
        };
        let samples: Vec<Sample> = times.iter().enumerate().map(sample).collect();
        let mut record = Record {
            case_id: "a".into(),
            workload: "matmul".into(),
            status,
            operations: Some(1000),
            sampling_ns: Some(7.0),
            stop_reason: if times.len() > 3 { "time" } else { "interval" }.into(),
            throttled: Some(times.len() > 3),
            energy_j: Some(times.len() as f64),
            percent_of_peak: Some(50.0),
            ..Record::default()
        };
        if status == Status::Ok {
            let drawn: Vec<(u64, f64)> = times.iter().map(|&ns| (2, ns)).collect();
            fill_times(&mut record, &drawn, &Summary::of(drawn.iter().copied()).unwrap());
        }
        Measured { record, samples, trajectory: vec![] }
    }

    #[test]
    fn samples_are_pooled_and_processes_compared() {
        let (a, b) = (process(&[2.0, 4.0, 6.0], Status::Ok), process(&[8.0; 4], Status::Ok));
        let Measured { record, samples, .. } = pool(&[&a, &b]).unwrap();
        assert_eq!((record.samples, record.processes), (Some(7), Some(2)));
        assert_eq!(record.median_ns, Some(4.0), "of 1 2 3 4 4 4 4");
        let sd = record.between_processes_sd_ns.unwrap();
        assert!((sd - 2f64.sqrt()).abs() < 1e-15, "of medians 2 and 4: {sd}");
        assert_eq!(record.throughput, Some(250.0));
        assert_eq!(record.percent_of_peak, Some(25.0), "twice the median of the first");
        assert_eq!((record.sampling_ns, record.stop_reason.as_str()), (Some(14.0), "time"));
        assert_eq!((record.throttled, record.energy_j), (Some(true), Some(3.5)));
        let numbers: Vec<(u64, Option<u32>)> =
            samples.iter().map(|s| (s.sample, s.process)).collect();
        assert_eq!(numbers[2..5], [(2, Some(0)), (3, Some(1)), (4, Some(1))]);
    }

    /// The rates and times of HALP count the rows of its full gradients, as those of one process do: here
    /// 3 full gradients of 10 rows and 45 steps of one.
    #[test]
    fn full_gradients_count_in_what_is_pooled() {
        let of_sgd = |times| {
            let mut one = process(times, Status::Ok);
            one.record = Record {
                workload: "sgd".into(),
                algorithm: "halp".into(),
                examples: Some(10),
                features: Some(4),
                batch: Some(1),
                steps: Some(45),
                ..one.record
            };
            one.samples.iter_mut().for_each(|sample| sample.stage = Stage::Run);
            let point = |step| TrajectoryPoint { step, ..TrajectoryPoint::default() };
            one.trajectory = [0, 1, 20, 21, 45].map(point).to_vec();
            one
        };
        let (a, b) = (of_sgd(&[300.0; 3]), of_sgd(&[300.0; 4]));
        let Measured { record, trajectory, .. } = pool(&[&a, &b]).unwrap();
        assert_eq!((record.median_ns, record.gnps), (Some(150.0), Some(2.0)));
        assert_eq!(record.examples_per_second, Some(5e8));
        let times: Vec<f64> = trajectory.iter().map(|point| point.elapsed_ns.unwrap()).collect();
        assert_eq!(times, [0.0, 22.0, 60.0, 82.0, 150.0]);
    }

    #[test]
    fn one_bad_process_makes_the_row() {
        let (ok, wrong) = (process(&[2.0; 3], Status::Ok), process(&[], Status::Wrong));
        let pooled = pool(&[&ok, &wrong]).unwrap();
        assert_eq!(pooled.record.status, Status::Wrong);
        assert!(pooled.record.reason.starts_with("process 1: "), "{}", pooled.record.reason);
        assert!(pooled.samples.is_empty() && pooled.record.median_ns.is_none());
    }

    #[test]
    fn one_process_has_no_variance() {
        assert_eq!(standard_deviation(&[3.0]), None);
        assert_eq!(standard_deviation(&[]), None);
    }
}
