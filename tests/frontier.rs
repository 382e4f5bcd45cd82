//! Frontiers worked out by hand, their properties, and `tradeoff frontier` as a user runs it.

use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use proptest::prelude::*;
use tempfile::TempDir;
use tradeoff::frontier::{
    Exclusion, Frontier, Interval, Metric, Options, Point, Standing, frontiers, survey,
};
use tradeoff::record::{Provenance, Record, RunFolder, Status};

/// Work of one iteration of every row here.
const OPERATIONS: f64 = 1e6;

/// A measured row: throughput with its interval, and error.
fn row(precision: &str, [low, throughput, high]: [f64; 3], error: f64) -> Record {
    Record {
        case_id: format!("matmul/{precision}/naive/8x8x8/gpu"),
        workload: "matmul".into(),
        kernel: "naive".into(),
        precision: precision.into(),
        shape: "8x8x8".into(),
        problem: "seeded".into(),
        distribution: "normal".into(),
        seed: Some(1),
        trial: Some(0),
        samples: Some(10),
        median_ns: Some(OPERATIONS / throughput),
        median_ci95_low_ns: Some(OPERATIONS / high),
        median_ci95_high_ns: Some(OPERATIONS / low),
        throughput: Some(throughput),
        throughput_unit: "GFLOP/s".into(),
        primary_error_metric: "relative_frobenius".into(),
        primary_error: Some(error),
        device: "gpu".into(),
        status: Status::Ok,
        ..Record::default()
    }
}

/// A throughput whose interval is 1 % to either side.
fn tight(throughput: f64) -> [f64; 3] {
    [0.99 * throughput, throughput, 1.01 * throughput]
}

fn only(records: &[Record]) -> Frontier {
    let mut all = frontiers(records);
    assert_eq!(all.len(), 1);
    all.remove(0)
}

/// Precision and standing of each point, fastest first, others named by precision.
fn standings(records: &[Record]) -> Vec<String> {
    let frontier = only(records);
    let name = |i: usize| records[frontier.points[i].row].precision.clone();
    let line = |(i, point): (usize, &Point)| match point.standing {
        Standing::OnFrontier => format!("{} *", name(i)),
        Standing::Indistinguishable { from } => format!("{} ~ {}", name(i), name(from)),
        Standing::Dominated { by } => format!("{} < {}", name(i), name(by)),
    };
    frontier.points.iter().enumerate().map(line).collect()
}

#[test]
fn by_hand() {
    let records = [
        row("fp32", tight(50.0), 1e-7),
        row("bf16", tight(40.0), 1e-3), // slower than fp32 and worse
        row("int8", tight(100.0), 1e-2),
        row("fp16", tight(70.0), 1e-4),
        row("int8-sr", tight(60.0), 2e-2), // slower than fp16 and worse
    ];
    assert_eq!(
        standings(&records),
        ["int8 *", "fp16 *", "int8-sr < fp16", "fp32 *", "bf16 < fp32"]
    );
    let frontier = only(&records);
    let fp16 = &frontier.points[1];
    assert_eq!((fp16.row, fp16.throughput, fp16.error, fp16.draws), (3, 70.0, 1e-4, 1));
    assert_eq!((&fp16.rows[..], fp16.error_ci), (&[3][..], None));
    assert!((fp16.throughput_ci.low - 69.3).abs() < 1e-12);
    assert!((fp16.throughput_ci.high - 70.7).abs() < 1e-12);
    assert_eq!(frontier.on_frontier().count(), 3);
}

#[test]
fn one_point_is_a_frontier() {
    assert_eq!(standings(&[row("fp32", tight(1.0), 1e-7)]), ["fp32 *"]);
    assert_eq!(frontiers(&[]), []);
}

#[test]
fn ties() {
    // Equal in both: neither beats the other.
    let twins = [row("fp32", tight(5.0), 1e-3), row("fp16", tight(5.0), 1e-3)];
    assert_eq!(standings(&twins), ["fp32 *", "fp16 *"]);
    // Equal errors: the slower is dominated, unless the intervals touch.
    let apart = [row("fp32", tight(5.0), 1e-3), row("fp16", tight(6.0), 1e-3)];
    assert_eq!(standings(&apart), ["fp16 *", "fp32 < fp16"]);
    let touching = [row("fp32", [4.0, 5.0, 5.5], 1e-3), row("fp16", [5.25, 6.0, 6.5], 1e-3)];
    assert_eq!(standings(&touching), ["fp16 *", "fp32 ~ fp16"]);
    // Equal speeds, known for sure: the less accurate is dominated.
    let exact = [row("fp32", [5.0; 3], 1e-3), row("fp16", [5.0; 3], 1e-4)];
    assert_eq!(standings(&exact), ["fp16 *", "fp32 < fp16"]);
    // Equal speeds, each with an interval: either could be the faster.
    let unsure = [row("fp32", tight(5.0), 1e-3), row("fp16", tight(5.0), 1e-4)];
    assert_eq!(standings(&unsure), ["fp16 *", "fp32 ~ fp16"]);
}

#[test]
fn an_exact_result_has_error_0() {
    let records = [
        row("int8", tight(9.0), 0.0),
        row("int8-sr", tight(8.0), -0.0),
        row("fp32", tight(10.0), 1e-7),
    ];
    assert_eq!(standings(&records), ["fp32 *", "int8 *", "int8-sr < int8"]);
    assert_eq!(only(&records).fastest_within(0.0).unwrap().point, 1);
}

/// A noisy point of the frontier dominates nothing for sure, but a steady one behind it does.
#[test]
fn what_beats_for_sure_need_not_be_on_the_frontier() {
    let records = [
        row("int8", [1.0, 10.0, 11.0], 1e-3),
        row("fp16", tight(9.0), 2e-3),
        row("bf16", tight(5.0), 3e-3),
    ];
    assert_eq!(standings(&records), ["int8 *", "fp16 ~ int8", "bf16 < fp16"]);
}

#[test]
fn infinite_and_undefined_errors_are_on_no_frontier() {
    let mut records = vec![
        row("fp16-acc16", tight(100.0), f64::INFINITY),
        row("fp16-sr", tight(90.0), f64::NAN),
        row("fp32", tight(1.0), 1e-7),
        Record { status: Status::Wrong, ..row("bf16", tight(80.0), 1e-9) },
        Record { status: Status::Failed, throughput: None, ..row("int8", tight(80.0), 1e-9) },
        Record { primary_error: None, ..row("int8-sr", tight(80.0), 0.0) },
        Record { median_ns: Some(f64::NAN), ..row("int8-rowwise", tight(80.0), 0.0) },
    ];
    assert_eq!(standings(&records), ["fp32 *"]);
    let why = |records: &[Record]| {
        let left_out = survey(records, Options::default()).left_out;
        left_out.iter().map(|l| format!("{}: {}", l.row, l.why)).collect::<Vec<_>>()
    };
    assert_eq!(
        why(&records),
        [
            "0: its error, relative_frobenius, is inf",
            "1: its error, relative_frobenius, is NaN",
            "3: status wrong",
            "4: status failed",
            "5: column relative_frobenius is empty",
            "6: column median_ns holds NaN, where a measured row has a number above 0",
        ]
    );
    records.retain(|record| record.precision != "fp32");
    assert_eq!(frontiers(&records), []);
}

#[test]
fn what_has_nothing_in_common_is_not_compared() {
    let base = row("fp32", tight(5.0), 1e-7);
    let with = |edit: fn(&mut Record)| {
        let mut record = row("fp16", tight(4.0), 1e-3);
        edit(&mut record);
        frontiers(&[base.clone(), record]).len()
    };
    assert_eq!(with(|_| ()), 1);
    // An operation is an operation, and another seed is another draw of the same problem.
    assert_eq!(with(|r| r.throughput_unit = "GOP/s".into()), 1);
    assert_eq!(with(|r| r.seed = Some(2)), 1);
    assert_eq!(with(|r| r.kernel = "register_tiled".into()), 1);
    assert_eq!(with(|r| r.cpu = "another host of the same GPU".into()), 1);
    assert_eq!(with(|r| r.workload = "sgd".into()), 2);
    assert_eq!(with(|r| r.shape = "9x9x9".into()), 2);
    assert_eq!(with(|r| r.distribution = "uniform".into()), 2);
    assert_eq!(with(|r| r.distribution_parameters = "phi=2".into()), 2);
    assert_eq!(with(|r| r.data_set = "digits".into()), 2);
    assert_eq!(with(|r| r.steps = Some(7)), 2);
    assert_eq!(with(|r| r.device = "cpu".into()), 2);
    assert_eq!(with(|r| r.driver_info = "Mesa 25".into()), 2);
    assert_eq!(with(|r| r.throughput_unit = "GNPS".into()), 2);
    assert_eq!(with(|r| r.primary_error_metric = "max_ulp".into()), 2);
    // Rows of older versions say nothing of what had no choice then.
    assert_eq!(with(|r| r.cache = "warm".into()), 1);
    assert_eq!(with(|r| r.cache = "cold".into()), 2);
    assert_eq!(with(|r| r.operand_layout = "nn".into()), 1);
    assert_eq!(with(|r| r.operand_layout = "tn".into()), 2);
    assert_eq!(with(|r| r.batch_count = Some(1)), 1);
    assert_eq!(with(|r| r.batch_count = Some(8)), 2);

    let on = |cpu: &str| Record { device_type: "cpu".into(), cpu: cpu.into(), ..base.clone() };
    assert_eq!(frontiers(&[on("AMD"), on("Intel")]).len(), 2, "a CPU is the device itself");
    let mixed = [base.clone(), Record { throughput_unit: "GOP/s".into(), ..base.clone() }];
    assert_eq!(only(&mixed).throughput_unit, "GOP/s");
    assert_eq!(only(&mixed[..1]).throughput_unit, "GFLOP/s");
}

/// Measured again, the latest row counts, be it faster or slower; of draws the fastest.
#[test]
fn a_setting_is_its_latest_row() {
    let at = |utc: &str, throughput| Record {
        utc: format!("2026-01-02T{utc}Z"),
        ..row("fp32", tight(throughput), 1e-7)
    };
    let records = [
        at("03:00:00", 5.0),
        at("04:00:00", 6.0),
        at("02:00:00", 8.0),
        Record { kernel: "tiled".into(), ..at("01:00:00", 9.0) },
        Record { learning_rate: Some(0.5), ..at("01:00:00", 2.0) },
        Record { implementation: "gemm 0.19.0".into(), ..at("01:00:00", 7.0) },
        Record { implementation: "tradeoff".into(), ..at("02:30:00", 7.5) },
    ];
    let rows = |records: &[Record]| -> Vec<_> {
        let frontier = only(records);
        frontier.points.into_iter().map(|p| (p.row, p.rows, p.draws)).collect()
    };
    let expected = [(3, vec![3], 1), (5, vec![5], 1), (1, vec![0, 1, 2, 6], 1), (4, vec![4], 1)];
    assert_eq!(rows(&records), expected);
    let draws = [at("01:00:00", 5.0), Record { trial: Some(1), ..at("02:00:00", 4.0) }];
    assert_eq!(rows(&draws), [(0, vec![0, 1], 2)]);
}

/// One draw of a result rounded at random decides nothing, unless the errors are far apart.
#[test]
fn a_single_draw_is_not_sure() {
    let stochastic = |throughput, error| Record {
        rounding: "stochastic".into(),
        ..row("fp16-sr", tight(throughput), error)
    };
    let against = |error| standings(&[stochastic(5.0, error), row("bf16", tight(9.0), 1e-3)]);
    assert_eq!(against(1.9e-3), ["bf16 *", "fp16-sr ~ bf16"]);
    assert_eq!(against(2.1e-3), ["bf16 *", "fp16-sr < bf16"]);
    // Several draws have an interval, and that decides.
    let several = trials("fp16-sr", 5.0, &[1.8e-3, 1.9e-3, 1.7e-3]);
    let several = several.into_iter().map(|r| Record { rounding: "stochastic".into(), ..r });
    let records: Vec<Record> = several.chain([row("bf16", tight(9.0), 1e-3)]).collect();
    assert_eq!(standings(&records), ["bf16 *", "fp16-sr < bf16"]);
}

/// A point whose lead in speed over a surely more exact one is not settled.
#[test]
fn a_point_of_the_frontier_can_be_contested() {
    let contested = |records: &[Record]| -> Vec<Option<usize>> {
        only(records).points.iter().map(|point| point.contested_by).collect()
    };
    let records = [
        row("int8", [90.0, 100.0, 110.0], 1e-2),
        row("fp16", [85.0, 95.0, 105.0], 1e-3),
        row("fp32", tight(50.0), 1e-7),
    ];
    assert_eq!(contested(&records), [Some(1), None, None]);
    let sr = |r: &Record| Record {
        rounding: "stochastic".into(),
        primary_error: Some(1.5e-3),
        ..r.clone()
    };
    assert_eq!(contested(&[sr(&records[0]), records[1].clone()]), [None, None], "not surely");

    let root = tempfile::tempdir().unwrap();
    let (_, out, _) = cli(&run(&root, &records), &[]);
    let line = out.lines().find(|line| line.contains("int8")).unwrap();
    assert!(line.starts_with("*~ ") && line.ends_with("~ fp16 naive"), "{out}");
}

/// Of each precision the rate of the least error, and of that the fastest kernel.
#[test]
fn a_tuned_setting_is_at_its_best_rate() {
    let at = |rate, kernel: &str, throughput, error| Record {
        learning_rate: Some(rate),
        kernel: kernel.into(),
        ..row("D8M8", tight(throughput), error)
    };
    let records = [
        at(0.1, "mirror", 9.0, 0.5),
        at(0.2, "mirror", 3.0, 0.1),
        at(0.2, "tiled", 4.0, 0.1),
        Record { precision: "D32fM32f".into(), ..at(0.1, "mirror", 1.0, 0.2) },
    ];
    let frontier = only(&records);
    let rows = |points: Vec<usize>| -> Vec<usize> {
        points.into_iter().map(|i| frontier.points[i].row).collect()
    };
    assert_eq!(rows(frontier.tuned(&records)), [2, 3]);
    assert!(frontier.has_rates(&records));
    assert!(!only(&records[1..3]).has_rates(&records[1..3]));
}

/// Another number of random bits is another setting, and its name says so; a row that names none is from
/// before there was a choice.
#[test]
fn random_bits_are_a_setting() {
    let with = |rounding_bits, throughput, error| Record {
        rounding: "stochastic".into(),
        rounding_bits,
        ..row("fp16-sr", tight(throughput), error)
    };
    let few =
        Record { case_id: "matmul/fp16-sr/naive/8x8x8-r4/gpu".into(), ..with(Some(4), 20.0, 1e-2) };
    let records = [with(None, 9.0, 1e-3), with(Some(16), 10.0, 1e-3), few];
    let frontier = only(&records);
    let rows = |points: &[Point]| points.iter().map(|point| point.row).collect::<Vec<_>>();
    assert_eq!(rows(&frontier.points), [2, 1]);
    assert_eq!(frontier.tuned(&records), [0, 1]);
    let root = tempfile::tempdir().unwrap();
    let out = cli(&run(&root, &records[1..]), &[]).1;
    assert!(
        out.contains("*  fp16-sr r=4  naive") && out.contains("*  fp16-sr      naive"),
        "{out}"
    );
}

/// The rows of one setting with these errors, in trials 0, 1, …, each a little slower.
fn trials(precision: &str, throughput: f64, errors: &[f64]) -> Vec<Record> {
    let trial = |(trial, &error): (usize, &f64)| Record {
        trial: Some(trial as u32),
        ..row(precision, tight(throughput - 0.001 * trial as f64), error)
    };
    errors.iter().enumerate().map(trial).collect()
}

#[test]
fn several_draws_give_an_error_its_interval() {
    let of = |errors: &[f64]| {
        let point = only(&trials("fp16-sr", 5.0, errors)).points.remove(0);
        assert_eq!(point.row, 0, "the fastest");
        assert_eq!(point.draws, errors.len());
        (point.error, point.error_ci.map(|ci| (ci.low, ci.high)))
    };
    assert_eq!(of(&[3.0]), (3.0, None));
    assert_eq!(of(&[3.0, 1.0]), (2.0, Some((1.0, 3.0))));
    assert_eq!(of(&[3.0, 1.0, 2.0]), (2.0, Some((1.0, 3.0))));
    // The sign test's ranks: of 9 the 2nd and the 8th.
    assert_eq!(of(&[9.0, 1.0, 8.0, 2.0, 7.0, 3.0, 6.0, 4.0, 5.0]), (5.0, Some((2.0, 8.0))));

    // Two errors whose intervals touch cannot be told apart, however the speeds lie.
    let mut records = trials("fp16-sr", 5.0, &[1.0, 2.0, 3.0]);
    records.extend(trials("int8-sr", 9.0, &[0.5, 1.0, 2.5]));
    assert_eq!(standings(&records), ["int8-sr *", "fp16-sr ~ int8-sr"]);
    records.truncate(3);
    records.extend(trials("int8-sr", 9.0, &[0.5, 0.7, 0.9]));
    assert_eq!(standings(&records), ["int8-sr *", "fp16-sr < int8-sr"]);
}

#[test]
fn the_conversion_is_paid_for_where_there_is_one() {
    let records = [
        row("fp32", tight(5.0), 1e-7),
        Record {
            conversion_median_ns: Some(1.0),
            total_throughput: Some(4.0),
            total_median_ns: Some(OPERATIONS / 4.0),
            total_median_ci95_low_ns: Some(OPERATIONS / 4.5),
            total_median_ci95_high_ns: Some(OPERATIONS / 3.5),
            ..row("fp16", tight(10.0), 1e-3)
        },
    ];
    assert_eq!(standings(&records), ["fp16 *", "fp32 *"]);
    let options = Options { with_conversion: true, ..Options::default() };
    let frontier = survey(&records, options).frontiers.remove(0);
    assert_eq!(frontier.points[1].throughput, 4.0);
    assert!((frontier.points[1].throughput_ci.low - 3.5).abs() < 1e-12);
    assert!((frontier.points[1].throughput_ci.high - 4.5).abs() < 1e-12);
    assert_eq!(frontier.points[1].standing, Standing::Dominated { by: 0 });

    let broken = [Record { total_median_ns: None, ..records[1].clone() }];
    let why = &survey(&broken, options).left_out[0].why;
    assert_eq!(*why, Exclusion::Unusable { column: "total_median_ns", value: None });
}

/// Parts that the host makes of numbers given in f64 cost what no column has; pairs and f64 are taken as
/// they come, and so is whatever a peer is given.
#[test]
fn a_conversion_that_was_not_timed_is_not_taken_for_none() {
    let records = [
        row("bf16x3", tight(9.0), 1e-7),
        row("fp16x2", tight(8.0), 1e-6),
        row("fp32x2", tight(3.0), 1e-14),
        row("fp64", tight(2.0), 1e-16),
        row("fp32", tight(10.0), 1e-6),
        Record { implementation: "peer 1.0".into(), ..row("bf16x3", tight(7.0), 1e-8) },
    ];
    let without = survey(&records, Options::default());
    assert_eq!((without.frontiers[0].points.len(), without.left_out.len()), (6, 0));
    let with = survey(&records, Options { with_conversion: true, ..Options::default() });
    let left_out: Vec<_> = with.left_out.iter().map(|l| (l.row, l.why.clone())).collect();
    let untimed = Exclusion::UntimedConversion;
    assert_eq!(left_out, [(0, untimed.clone()), (1, untimed)]);
    assert_eq!(with.frontiers[0].points.len(), 4);
    // Made of f32 by the device, and timed: a point.
    let timed = Record {
        conversion_median_ns: Some(1.0),
        total_throughput: Some(4.0),
        total_median_ns: Some(OPERATIONS / 4.0),
        total_median_ci95_low_ns: Some(OPERATIONS / 4.5),
        total_median_ci95_high_ns: Some(OPERATIONS / 3.5),
        ..records[0].clone()
    };
    let with = survey(&[timed], Options { with_conversion: true, ..Options::default() });
    assert_eq!((with.frontiers[0].points[0].throughput, with.left_out.len()), (4.0, 0));
}

#[test]
fn another_error_column() {
    let records = [
        Record {
            signed_bias: Some(-0.2),
            signed_bias_ci95_low: Some(-0.3),
            signed_bias_ci95_high: Some(0.1),
            ..row("fp16", tight(5.0), 1e-3)
        },
        Record { signed_bias: Some(0.1), ..row("fp32", tight(4.0), 1e-7) },
        row("int8", tight(9.0), 1e-2),
    ];
    let options = Options { metric: Some(Metric::SignedBias), ..Options::default() };
    let survey = survey(&records, options);
    let frontier = &survey.frontiers[0];
    assert_eq!(frontier.error_metric, "signed_bias");
    let points: Vec<_> = frontier.points.iter().map(|p| (p.error, p.error_ci)).collect();
    let magnitude = Interval { low: 0.0, high: 0.3 };
    assert_eq!(points, [(0.2, Some(magnitude)), (0.1, None)]);
    assert_eq!(survey.left_out[0].why.to_string(), "column signed_bias is empty");
    for metric in Metric::ALL {
        assert_eq!(metric.name().parse(), Ok(metric));
    }
}

#[test]
fn the_fastest_that_keeps_an_error() {
    let mut records = vec![
        row("int8", tight(9.0), 1e-2),
        row("fp16", [6.0, 7.0, 8.0], 1e-3),
        row("bf16", [6.0, 6.5, 7.5], 1e-4),
        row("fp32", tight(2.0), 1e-7),
    ];
    let fastest = |records: &[Record], limit| {
        let frontier = only(records);
        let name = |&i: &usize| records[frontier.points[i].row].precision.clone();
        let found = frontier.fastest_within(limit)?;
        Some((name(&found.point), found.rivals.iter().map(name).collect::<Vec<_>>()))
    };
    let some = |name: &str, rivals: &[&str]| {
        Some((name.to_owned(), rivals.iter().map(|&rival| rival.to_owned()).collect()))
    };
    assert_eq!(fastest(&records, 1.0), some("int8", &[]));
    assert_eq!(fastest(&records, 1e-3), some("fp16", &["bf16"]));
    assert_eq!(fastest(&records, 0.99e-3), some("bf16", &[]));
    assert_eq!(fastest(&records, 1e-7), some("fp32", &[]));
    assert_eq!(fastest(&records, 1e-8), None);
    // A median below the limit is not enough where the interval goes beyond it.
    records[1].trial = Some(1);
    records.push(row("fp16", [6.0, 6.9, 8.0], 0.2e-3));
    assert_eq!(fastest(&records, 0.7e-3), some("bf16", &[]));
}

prop_compose! {
    /// A grid so coarse that ties in either axis, and intervals that touch, are common.
    fn coarse()(speed in 1_u32..6, below in 0_u32..3, above in 0_u32..3, error in 0_u32..5)
        -> ([f64; 3], f64)
    {
        let speed = 4.0 * f64::from(speed);
        ([speed - f64::from(below), speed, speed + f64::from(above)], f64::from(error))
    }
}

/// A frontier of points given as (interval and speed, error), one precision each.
fn of(points: &[([f64; 3], f64)]) -> Frontier {
    let row = |(i, &(speed, error)): (usize, &([f64; 3], f64))| row(&i.to_string(), speed, error);
    only(&points.iter().enumerate().map(row).collect::<Vec<_>>())
}

proptest! {
    #[test]
    fn none_on_the_frontier_is_beaten_and_every_other_is(
        points in prop::collection::vec(coarse(), 1..14),
        mirrored in any::<bool>(),
    ) {
        let mut points = points;
        if mirrored {
            points.reverse();
        }
        let frontier = of(&points);
        prop_assert_eq!(frontier.points.len(), points.len());
        // From the numbers that went in, by other words than the library's.
        let given = |i: usize| points[frontier.points[i].row];
        let beats = |i: usize, j: usize| {
            let (([_, fast, _], good), ([_, slow, _], bad)) = (given(i), given(j));
            (fast > slow && good <= bad) || (fast == slow && good < bad)
        };
        let surely = |i: usize, j: usize| {
            let (([low, ..], good), ([.., high], bad)) = (given(i), given(j));
            low > high && good <= bad
        };
        let all = 0..points.len();
        for i in all.clone() {
            let beaten = all.clone().any(|j| beats(j, i));
            match frontier.points[i].standing {
                Standing::OnFrontier => prop_assert!(!beaten),
                Standing::Indistinguishable { from } => {
                    prop_assert!(beats(from, i));
                    prop_assert_eq!(frontier.points[from].standing, Standing::OnFrontier);
                }
                Standing::Dominated { by } => prop_assert!(beats(by, i)),
            }
            // Times turn rates over, so ends that touch may miss each other by a bit.
            let touches = |j: usize| (given(j).0[0] - given(i).0[2]).abs() < 1e-9;
            if !all.clone().any(touches) {
                let dominated = matches!(frontier.points[i].standing, Standing::Dominated { .. });
                prop_assert_eq!(dominated, all.clone().any(|j| surely(j, i)));
            }
        }
        prop_assert!(frontier.on_frontier().count() > 0);
        prop_assert!(frontier.points.is_sorted_by(|a, b| a.throughput >= b.throughput));
        // Along the frontier, slower means at least as accurate.
        let errors: Vec<f64> = frontier.on_frontier().map(|point| point.error).collect();
        prop_assert!(errors.is_sorted_by(|a, b| a >= b));
    }
}

/// A run folder with these rows.
fn run(root: &TempDir, records: &[Record]) -> PathBuf {
    let provenance =
        Provenance { utc: "2026-01-02T03:04:05Z".into(), host: None, ..Provenance::default() };
    let mut folder = RunFolder::create(&root.path().join("results"), provenance).unwrap();
    records.iter().for_each(|record| folder.append(record).unwrap());
    folder.path().to_owned()
}

/// Status, stdout and stderr of `tradeoff frontier`.
fn cli(path: &Path, arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::cargo_bin("tradeoff").unwrap();
    let output = command.arg("frontier").arg(path).args(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn small_run(root: &TempDir) -> PathBuf {
    run(
        root,
        &[
            row("fp32", tight(50.0), 1e-7),
            row("int8", tight(100.0), 1e-2),
            row("bf16", tight(40.0), 1e-3),
            row("fp16", [45.0, 49.0, 52.0], 2e-4),
            Record {
                status: Status::Skipped,
                reason: "over 128 MiB".into(),
                ..row("fp16-sr", tight(1.0), 1.0)
            },
        ],
    )
}

#[test]
fn the_table() {
    let root = tempfile::tempdir().unwrap();
    let (status, out, err) = cli(&small_run(&root), &[]);
    assert_eq!((status, err.as_str()), (0, "1 of 5 rows are left out: 1 status skipped\n"));
    insta::assert_snapshot!(out, @r"
    matmul 8x8x8, normal on gpu: throughput in GFLOP/s, error is relative_frobenius
       precision  kernel  throughput  95 % interval      error  interval
    *  int8       naive        100.0  [99.00, 101.0]   0.01000  -
    *  fp32       naive        50.00  [49.50, 50.50]  1.000e-7  -
    ~  fp16       naive        49.00  [45.00, 52.00]  2.000e-4  -         ~ fp32 naive
    1 dominated; --all shows them
    ");
    let (_, out, err) = cli(&root.path().join("results"), &["--all", "-v"]);
    assert!(out.ends_with("< fp32 naive\n"), "{out}");
    assert!(err.contains(".csv`, line 6: matmul/fp16-sr/naive/8x8x8/gpu: status skipped: over"));
}

/// Inputs of other parameters are another table, other random bits or another algorithm another line.
#[test]
fn what_a_precision_does_not_tell_is_named() {
    let root = tempfile::tempdir().unwrap();
    let spread = |parameters: &str, bits, throughput| Record {
        distribution: "exponent-spread".into(),
        distribution_parameters: parameters.into(),
        rounding_bits: Some(bits),
        case_id: format!("matmul/fp16-sr/naive/8x8x8-{parameters}-{bits}/gpu"),
        ..row("fp16-sr", tight(throughput), 1e-3 / throughput)
    };
    let path =
        run(&root, &[spread("phi=1", 16, 5.0), spread("phi=2", 16, 5.0), spread("phi=2", 8, 8.0)]);
    let (status, out, err) = cli(&path, &["--all"]);
    assert_eq!((status, err.as_str()), (0, ""));
    for text in [
        "matmul 8x8x8, exponent-spread(phi=1) on gpu:",
        "matmul 8x8x8, exponent-spread(phi=2) on gpu:",
        "*  fp16-sr r=8  naive ",
        "< fp16-sr r=8 naive\n",
    ] {
        assert!(out.contains(text), "{text} in {out}");
    }
    let halp = |parameters: &str| Record {
        workload: "sgd".into(),
        algorithm: "halp".into(),
        algorithm_parameters: parameters.into(),
        ..row("D32fM8-SR", tight(4.0), 1e-3)
    };
    let names = [halp("mu=0.03"), halp("mu=0.1")].map(|row| tradeoff::frontier::name(&row));
    assert_eq!(names, ["D32fM8-SR halp mu=0.03", "D32fM8-SR halp mu=0.1"]);
    assert_eq!(only(&[halp("mu=0.03"), halp("mu=0.1")]).points.len(), 2);
}

#[test]
fn the_fastest_in_one_line() {
    let root = tempfile::tempdir().unwrap();
    let path = small_run(&root);
    let (status, out, _) = cli(&path, &["--max-error", "1e-3"]);
    assert_eq!(status, 0);
    assert_eq!(
        out,
        "matmul 8x8x8, normal on gpu: fp32 naive at 50.00 GFLOP/s [49.50, 50.50], \
         relative_frobenius 1.00e-7 ≤ 1e-3; not told apart in speed: fp16 naive\n"
    );
    let (status, out, _) = cli(&path, &["--max-error", "1e-9"]);
    assert_eq!(status, 0);
    let none =
        "matmul 8x8x8, normal on gpu: none has relative_frobenius ≤ 1e-9; the least is 1.00e-7\n";
    assert_eq!(out, none);
}

/// A results file may hold anything, and its text stays text on its line.
#[test]
fn what_files_hold_does_not_steer_the_terminal() {
    let root = tempfile::tempdir().unwrap();
    let odd = Record { device: "gpu\u{1b}[2J".into(), ..row("fp32", tight(5.0), 1e-3) };
    let path = run(&root, &[odd]);
    for (arguments, told) in [
        (&[][..], "matmul 8x8x8, normal on gpu\\u{1b}[2J: throughput in GFLOP/s"),
        (&["--max-error", "1"], "matmul 8x8x8, normal on gpu\\u{1b}[2J: fp32 naive at 5.000"),
    ] {
        let (status, out, err) = cli(&path, arguments);
        assert!(status == 0 && out.starts_with(told), "{out}{err}");
        assert!(!out.contains('\u{1b}') && out.ends_with('\n'), "{out}");
    }
}

#[test]
fn every_point_in_csv_and_json_with_its_source() {
    let root = tempfile::tempdir().unwrap();
    let path = small_run(&root);
    let (_, out, _) = cli(&path, &["--csv", "--max-error", "1e-3"]);
    let mut reader = csv::Reader::from_reader(out.as_bytes());
    let rows: Vec<std::collections::HashMap<String, String>> =
        reader.deserialize().map(Result::unwrap).collect();
    let column = |name: &str| rows.iter().map(|row| row[name].as_str()).collect::<Vec<_>>();
    assert_eq!(column("precision"), ["int8", "fp32", "fp16", "bf16"]);
    assert_eq!(column("standing"), ["frontier", "frontier", "indistinguishable", "dominated"]);
    assert_eq!(column("than"), ["", "", "fp32 naive", "fp32 naive"]);
    assert_eq!(column("fastest_within"), ["false", "true", "false", "false"]);
    assert_eq!(column("line"), ["3", "2", "5", "4"]);
    assert_eq!(column("error_ci95_low"), [""; 4]);
    assert_eq!(rows[0]["file"], path.join("measurements.csv").display().to_string());

    let (_, out, _) = cli(&path, &["--json"]);
    let points: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(points[1]["throughput"], 50.0);
    assert_eq!(points[3]["than"], "fp32 naive");
    assert!(points[0]["error_ci95_low"].is_null() && points[0]["max_error"].is_null());
}

/// Message and status 2, and nothing on stdout that looks like a result.
fn refused(path: &Path, arguments: &[&str], expected: &str) {
    let (status, out, err) = cli(path, arguments);
    assert_eq!((status, out.as_str()), (2, ""), "{err}");
    assert!(err.contains(expected), "{err}");
}

#[test]
fn bad_arguments() {
    let root = tempfile::tempdir().unwrap();
    let path = small_run(&root);
    refused(&path, &["--max-error", "-1"], "write an error of at least 0, such as 1e-3");
    refused(&path, &["--max-error", "NaN"], "write an error of at least 0, such as 1e-3");
    refused(&path, &["--metric", "speed"], "`speed` is no error column; valid are relative_frob");
    refused(
        &path,
        &["--device", "tpu"],
        "no row has workload any and device tpu; there are matmul on gpu",
    );
    refused(&path, &["--metric", "max_ulp"], "none of the 5 rows is a point: each is left out");
    refused(&path, &["--json", "--csv"], "cannot be used with");
    let (status, _, err) = cli(Path::new("--all"), &[]);
    assert_eq!(status, 2, "{err}");
}

/// The path in an error's message.
fn at(path: &Path, line: u64) -> String {
    format!("`{}`, line {line}", path.display())
}

#[test]
fn bad_files() {
    let root = tempfile::tempdir().unwrap();
    let file = small_run(&root).join("measurements.csv");
    let whole = fs::read_to_string(&file).unwrap();
    let header = whole.lines().next().unwrap();
    let write = |text: &str| fs::write(&file, text).unwrap();

    write("");
    refused(&file, &[], &format!("{}, column `schema_version`: no such column", at(&file, 1)));
    write(&format!("{header}\n"));
    refused(&file, &[], &format!("{}: no row follows the header", at(&file, 1)));
    write(&whole[..whole.len() - 40]);
    refused(&file, &[], &format!("{}, column", at(&file, 6)));
    refused(&file, &[], "the file ends within this row");
    write("name,value\na,1\n");
    refused(&file, &[], "this is no measurements.csv that tradeoff wrote");
    let third = whole.lines().nth(2).unwrap();
    write(&format!("{whole}{}\n", third.replacen('3', "999", 1)));
    refused(&file, &[], &format!("{}, column `schema_version`: schema `999`", at(&file, 7)));
    write(&format!("{whole}{third}\n"));
    let twice = format!(
        "{}, column `case_id`: run `20260102T030405Z` has `matmul/int8/naive/8x8x8/gpu` at {} already",
        at(&file, 7),
        at(&file, 3)
    );
    refused(&file, &[], &twice);
    write(&whole);
    let (first, again) = (file.display().to_string(), file.parent().unwrap().to_owned());
    refused(&again, &[&first], &format!("`{first}` is given twice; name it once"));
    refused(&root.path().join("none"), &[], "name the folder of a run, or a file in one");
    let empty = root.path().join("empty");
    fs::create_dir(&empty).unwrap();
    refused(&empty, &[], &format!("no measurements.csv in `{}` nor in", empty.display()));
}

#[test]
fn a_copy_of_a_run_is_not_counted_again() {
    let root = tempfile::tempdir().unwrap();
    let path = small_run(&root);
    let copy = root.path().join("results/copy");
    fs::create_dir(&copy).unwrap();
    let text = fs::read_to_string(path.join("measurements.csv")).unwrap();
    fs::write(copy.join("measurements.csv"), &text).unwrap();
    let results = root.path().join("results");
    refused(&results, &[], "has `matmul/fp32/naive/8x8x8/gpu` at ");
    // As publishing does, under another name.
    let renamed = text.replace("20260102T030405Z", "another");
    fs::write(copy.join("measurements.csv"), renamed).unwrap();
    refused(&results, &[], "column `run_id`: the same measurement as ");
}

#[test]
fn a_measured_row_without_its_numbers() {
    for (edit, column) in [
        ((|r: &mut Record| r.median_ns = Some(f64::NAN)) as fn(&mut Record), "median_ns`: `NaN`"),
        (|r| r.median_ci95_high_ns = None, "median_ci95_high_ns`: empty"),
        (|r| r.throughput = Some(0.0), "throughput`: `0`"),
    ] {
        let root = tempfile::tempdir().unwrap();
        let mut record = row("fp16", tight(5.0), 1e-3);
        edit(&mut record);
        let path = run(&root, &[row("fp32", tight(4.0), 1e-7), record]);
        let place = at(&path.join("measurements.csv"), 3);
        let remedy = "restore the row from the run that wrote it, or delete it";
        refused(&path, &[], &format!("{place}, column `{column}, but a row of status ok"));
        refused(&path, &[], remedy);
    }
}
