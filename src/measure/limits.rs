//! Which cases will be skipped, and why, as far as that is known before a device is opened: from
//! the limits that its adapter states, and from the memory of the host.

use super::case::{Case, Work};
use super::matmul;
use crate::gpu::{DeviceInfo, GpuError};
pub use crate::memory::available_host_bytes;
use crate::number::Precision;
use crate::problem::dataset::DatasetSpec;
use crate::workload::matmul::{KernelSource, Shape, output_format, upload_format};
use crate::workload::sgd::{
    Algorithm, Chunks, Schedule, Step, check_schedule, check_shape, listed_dispatches,
};

/// Why the case will be skipped on a device, or `None` if nothing speaks against it yet: memory of
/// the device or of the host may still be full when its turn comes.
pub fn foreseen_skip(case: &Case, device: &DeviceInfo, host_bytes: u64) -> Option<String> {
    match case.work {
        Work::Matmul { shape, kernel, ref origin, .. } => {
            let supported = kernel.map_or(Ok(()), |kernel| {
                kernel
                    .runs(case.precision, shape)
                    .and_then(|()| KernelSource::supports(kernel, case.precision, device))
            });
            let unsupported = supported.err();
            unsupported.or_else(|| host_skip(shape, case.precision, host_bytes)).or_else(|| {
                let source = KernelSource::of(kernel?, case.precision, device);
                matmul_skip(shape, &source, origin.is_given_in_f64(), device)
                    .map(|error| error.to_string())
            })
        }
        Work::Sgd { data, batch, steps, schedule, algorithm, .. } => {
            sgd_skip(data, batch, case.precision)
                .or_else(|| check_schedule(schedule, batch).err().map(|error| error.to_string()))
                .or_else(|| algorithm.check(case.precision).err().map(|error| error.to_string()))
                .or_else(|| {
                    let asked = (schedule, algorithm);
                    let dispatches = dispatches_on(device, data, batch, steps, asked);
                    steps_skip(steps, dispatches, host_bytes)
                })
                .or_else(|| data_set_skip(data, device).map(|error| error.to_string()))
        }
    }
}

/// A problem that is more than the host's memory with the fewest rows of C verified.
fn host_skip(shape: Shape, precision: Precision, host_bytes: u64) -> Option<String> {
    let rows = shape.batch.saturating_mul(shape.m).min(matmul::LEAST_ROWS);
    let needed = matmul::host_bytes(shape, rows, precision);
    (needed > u128::from(host_bytes)).then(|| {
        format!(
            "{shape} needs at least {needed} bytes of host memory, over the {host_bytes} \
             available; choose a smaller shape"
        )
    })
}

/// A buffer or a dispatch of the product that is over a limit of the device.
fn matmul_skip(
    shape: Shape,
    source: &KernelSource,
    given_f64: bool,
    device: &DeviceInfo,
) -> Option<GpuError> {
    let uploaded = upload_format(source.precision, given_f64);
    let [in_a, in_b] =
        ["A", "B"].map(|name| format!("buffer {name} in {} (bytes)", uploaded.name()));
    let storage = source.precision.storage();
    let (a, b) = (shape.stored_numbers_of_a(), shape.stored_numbers_of_b());
    let converted = shape.converted(source.precision);
    let [of_a, of_b] = [converted.stored_numbers_of_a(), converted.stored_numbers_of_b()];
    let c = shape.stored_numbers_of_c();
    let buffers = [
        (in_a, uploaded.bytes(a)),
        (in_b, uploaded.bytes(b)),
        ("buffer C (bytes)".to_owned(), output_format(source.precision).bytes(c)),
        ("buffer A converted (bytes)".to_owned(), storage.bytes(of_a)),
        ("buffer B converted (bytes)".to_owned(), storage.bytes(of_b)),
    ];
    let limit = device.max_buffer_bytes.min(device.max_binding_bytes);
    let over = |(what, asked): (String, u64), limit| {
        (asked > limit).then_some(GpuError::OverLimit { what, asked, limit })
    };
    let too_large = buffers.into_iter().find_map(|buffer| over(buffer, limit));
    too_large.or_else(|| {
        let limit = device.max_workgroups_per_dimension.into();
        let names = ["x", "y", "z"].map(|axis| format!("dispatch (workgroups in {axis})"));
        let counts = source.workgroups(shape).map(u64::from);
        names.into_iter().zip(counts).find_map(|dispatch| over(dispatch, limit))
    })
}

/// A case that its data set does not allow, whatever the device.
fn sgd_skip(data: DatasetSpec, batch: usize, precision: Precision) -> Option<String> {
    match data.check() {
        Err(error) => Some(error.to_string()),
        Ok(()) => check_shape(data, precision, batch).err().map(|error| error.to_string()),
    }
}

/// Plans of all steps that are there at a time, at most: of the f64 run, of the device and of its mirror,
/// and one on its way to the device.
const PLANS: u64 = 4;

/// Host memory of a dispatch in a list, in bytes, an estimate from above: its command, its
/// bind group and what wgpu and the driver keep of that. 1,500 were measured with wgpu 30 on lavapipe.
const DISPATCH_BYTES: u64 = 2048;

/// More steps than the host has memory to plan, and to list for a GPU in so many dispatches.
pub(super) fn steps_skip(steps: u32, dispatches: u64, host_bytes: u64) -> Option<String> {
    let planned = PLANS * u64::from(steps) * size_of::<Step>() as u64;
    let needed = planned.saturating_add(dispatches.saturating_mul(DISPATCH_BYTES));
    (needed > host_bytes).then(|| {
        format!(
            "{steps} steps need {needed} bytes of host memory, over the {host_bytes} available; \
             choose fewer"
        )
    })
}

/// Dispatches that a run's lists hold at most; the CPU has no lists.
pub(super) fn dispatches_on(
    device: &DeviceInfo,
    data: DatasetSpec,
    batch: usize,
    steps: u32,
    asked: (Option<Schedule>, Algorithm),
) -> u64 {
    match device.backend.as_str() {
        "cpu" => 0,
        _ => listed_dispatches(device, data, batch, steps, asked),
    }
}

/// A data set that, in f32, is over as many buffers as a kernel reads it from.
fn data_set_skip(data: DatasetSpec, device: &DeviceInfo) -> Option<GpuError> {
    if device.backend == "cpu" { None } else { Chunks::new(device, data, None).err() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::discover;
    use crate::measure::{Selection, Session};
    use crate::problem::matrix::{Matrix, Origin};
    use crate::problem::npy::FileOperands;
    use crate::record::{Provenance, Status};
    use crate::workload::matmul::Kernel;
    use crate::workload::sgd::{GpuOptions, GpuSgd, SgdCase};

    /// What is foreseen is what happens, to the word, on every device here.
    #[test]
    fn a_run_skips_what_was_foreseen() {
        let variables = [
            // C over a binding of 128 MiB; more workgroups of 8 rows than 65,535; an ordinary one.
            // A layout that one kernel reads and another does not; more products than workgroups in z.
            ("TRADEOFF_SIZES", "5800x5800x1,524281x1x1,8,8-tn,2x2x2-b65536"),
            ("TRADEOFF_PRECISIONS", "fp32,D8M8"),
            ("TRADEOFF_DATA_SETS", "figure2-16x8"),
            ("TRADEOFF_BATCHES", "16,17"),
            ("TRADEOFF_STEPS", "2"),
            // HALP is at D32fM8-SR alone.
            ("TRADEOFF_ALGORITHMS", "sgd,halp"),
        ];
        let variables = variables.map(|(n, v)| (n.to_owned(), v.to_owned()));
        let selection = Selection::from_variables(variables.into()).unwrap();
        let devices = discover(None).unwrap();
        let mut session = Session::new(devices, selection, &Provenance::collect());
        let mut foreseen = 0;
        for case in session.plan() {
            let device = session.devices().iter().find(|d| d.info.slug == case.device_slug);
            let skip = foreseen_skip(&case, &device.unwrap().info, available_host_bytes());
            foreseen += usize::from(skip.is_some());
            match session.prepare(&case) {
                Ok(_) => assert_eq!(skip, None, "{case}"),
                Err(measured) if measured.record.status == Status::Skipped => {
                    assert_eq!(skip, Some(measured.record.reason), "{case}");
                }
                Err(measured) => panic!("{case}: {}", measured.record.reason),
            }
        }
        assert!(foreseen > 0, "a batch of 17 of 16 rows, on the CPU too");
    }

    #[test]
    fn a_problem_over_the_memory_of_the_host_is_foreseen() {
        let square = Shape::square(1 << 20);
        let skip = |shape, bytes| host_skip(shape, Precision::Fp32, bytes);
        let reason = skip(square, 64 << 30).unwrap();
        assert!(reason.contains("1048576x1048576x1048576 needs at least"), "{reason}");
        assert_eq!(skip(Shape::square(64), 1 << 20), None);
        let wide = host_skip(Shape::square(64), Precision::Fp64, 1 << 18);
        assert!(skip(Shape::square(64), 1 << 18).is_none() && wide.is_some());
        assert!(skip(Shape { m: u32::MAX as usize, ..square }, u64::MAX / 4).is_none());
    }

    /// Parts that the host makes of f64 are uploaded as they are: there is no buffer of f32.
    #[test]
    fn a_buffer_over_a_limit_has_the_name_that_the_device_gives_it() {
        let device = DeviceInfo { max_workgroup_invocations: 256, ..DeviceInfo::default() };
        let reason = |precision, is_f64: bool| {
            let one = || Matrix { rows: 1, cols: 1, data: vec![1.0] };
            let given_f64 = is_f64.then(|| [[1.0].into(), [1.0].into()]);
            let sha256 = "0123456789abcdef".to_owned();
            let files = FileOperands { a: one(), b: one(), given_f64, sha256 };
            let work = Work::Matmul {
                shape: Shape::square(1),
                kernel: Some(Kernel::Naive),
                origin: Origin::Files(files.into()),
                rounding_bits: 16,
            };
            let case = Case { work, precision, device: 0, device_slug: "gpu".to_owned() };
            foreseen_skip(&case, &device, u64::MAX).unwrap()
        };
        for (precision, of_f32, of_f64) in [
            (Precision::Bf16x3, "A in f32", "A in bf16x3"),
            (Precision::Fp16x2, "A in f32", "A in f16x2"),
            (Precision::Fp32x2, "A in f32x2", "A in f32x2"),
            (Precision::Fp16, "A in f32", "A in f32"),
        ] {
            let [single, double] = [false, true].map(|is_f64| reason(precision, is_f64));
            assert!(single.contains(&format!("buffer {of_f32} (bytes)")), "{precision}: {single}");
            assert!(double.contains(&format!("buffer {of_f64} (bytes)")), "{precision}: {double}");
        }
    }

    #[test]
    fn steps_are_planned_in_memory() {
        let bytes = 4 * size_of::<Step>() as u64;
        assert_eq!(steps_skip(1000, 0, 1000 * bytes), None);
        let reason = steps_skip(1001, 0, 1000 * bytes).unwrap();
        assert!(reason.starts_with("1001 steps need ") && reason.ends_with("; choose fewer"));
        assert!(steps_skip(u32::MAX, 0, 64 << 30).is_some());
        let listed = 1000 * bytes + 3 * DISPATCH_BYTES;
        assert_eq!(steps_skip(1000, 3, listed), None);
        assert!(steps_skip(1000, 3, listed - 1).is_some() && steps_skip(1, u64::MAX, 1).is_some());
    }

    /// The lists of a GPU are counted, not much above what they are: with a remainder of the data set and
    /// without, with steps that share a dispatch and without.
    #[test]
    fn dispatches_are_those_of_the_lists() {
        let spec = DatasetSpec::Figure2 { n: 600, d: 8 };
        let data = spec.load(1).unwrap();
        for device in discover(None).unwrap().iter().filter(|device| !device.is_cpu()) {
            let context = device.open().unwrap();
            for (batch, schedule) in [
                (257, Schedule::Stepwise),
                (600, Schedule::Stepwise),
                (64, Schedule::Stepwise),
                (60, Schedule::Persistent),
                (1, Schedule::Persistent),
            ] {
                let steps = 2500;
                let case = SgdCase::new(&data, Precision::D32fM32f, batch, steps);
                let options = GpuOptions { schedule: Some(schedule), ..GpuOptions::default() };
                let sgd = GpuSgd::prepare_with(&context, &case, &data, options).unwrap();
                let lists = sgd.commands().iter().chain(sgd.trajectory_commands());
                let listed = lists.filter(|command| command.is_dispatch()).count() as u64;
                let asked = (Some(schedule), Algorithm::Sgd);
                let counted = listed_dispatches(&context.info, spec, batch, steps, asked);
                let told = format!("{} {schedule:?} {batch}", context.info.slug);
                assert!(listed <= counted, "{told}: {listed} in the lists, {counted} counted");
                // An epoch's remainder, and the checkpoints' cuts.
                let slack = 2 * (64 + u64::from(steps).div_ceil((600 / batch) as u64));
                assert!(counted <= listed + slack, "{told}: {listed} listed, {counted} counted");
            }
        }
    }

    /// Where the plan of ten million steps fits, their lists of three dispatches a step need not.
    #[test]
    fn steps_over_the_memory_of_their_lists_are_foreseen() {
        let steps = 10_000_000;
        for device in discover(None).unwrap() {
            let data = DatasetSpec::Figure2 { n: 2048, d: 8 };
            let skip = |batch, host_bytes| {
                let asked = (Some(Schedule::of_spec(data, batch)), Algorithm::Sgd);
                let dispatches = dispatches_on(&device.info, data, batch, steps, asked);
                steps_skip(steps, dispatches, host_bytes)
            };
            assert_eq!(skip(257, 16 << 30).is_some(), !device.is_cpu(), "{}", device.info.slug);
            assert_eq!(skip(257, 1 << 40), None);
        }
    }

    #[test]
    fn a_data_set_is_held_to_its_own_limits() {
        let figure2 = |n, d| DatasetSpec::Figure2 { n, d };
        let skip = |data, batch| sgd_skip(data, batch, Precision::D8M8).unwrap_or_default();
        assert!(skip(figure2(0, 8), 1).contains("needs at least 1 row"));
        assert!(skip(figure2(1 << 20, 1 << 20), 1).contains("fewer than 2^32 numbers"));
        assert!(skip(figure2(8, 8), 9).starts_with("batch of 9 rows"));
        assert!(skip(figure2(8, 200_000), 8).contains("overflow the 32-bit sums"));
        assert_eq!(skip(figure2(8, 8), 8), "");
    }
}
