//! The rows of a run's three tables. [`Record`] is the schema of `measurements.csv`: one field a
//! column, in order. `results/README.md` repeats the docs of the fields, and a test compares them.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::number::round::ROUNDING_BITS;

/// Version of the schema that this build writes. It grows with every change of the columns.
pub const SCHEMA_VERSION: u32 = 3;

/// A row of one of the tables of a run.
pub trait Row: Serialize + DeserializeOwned + Default + Clone {
    /// Name of the table's file in the folder of a run.
    const FILE: &'static str;

    /// Columns that every file has, whatever its schema: they cannot be empty.
    const REQUIRED: &'static [&'static str];

    /// The row as it is written: with this build's schema and the run's id.
    fn stamped(&self, run_id: &str) -> Self;

    /// Names of the columns, in order.
    fn columns() -> Vec<String> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.serialize(Self::default()).expect("a struct of plain fields goes into a Vec");
        let bytes = writer.into_inner().expect("a Vec takes every byte");
        let header = bytes.split(|&byte| byte == b'\n').next().unwrap_or_default();
        String::from_utf8_lossy(header).split(',').map(str::to_owned).collect()
    }
}

/// How a case ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Verified, then timed.
    Ok,
    /// It failed verification, so it was not timed.
    Wrong,
    /// It did not run to its end. The default, so that no row is `ok` unless somebody said so.
    #[default]
    Failed,
    /// It was not started: a limit is named in the reason.
    Skipped,
}

impl Status {
    /// The word used in the CSV.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Wrong => "wrong",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }
}

/// What a timing sample spans.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// The product alone, its operands already converted.
    #[default]
    Product,
    /// The conversion of the operands alone.
    Conversion,
    /// Conversion and product together.
    Total,
    /// One run of SGD.
    Run,
}

/// One measured case: a row of `measurements.csv`.
///
/// A text that does not apply is empty, a number that does not apply is `None` and written as an
/// empty cell.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Record {
    // Which row this is.
    /// Version of this schema under which the row was written.
    pub schema_version: u32,
    /// Run that measured the case: the name of its folder.
    pub run_id: String,
    /// When the row was written: RFC 3339, UTC, to the second.
    pub utc: String,
    /// Bench id of the case, `workload/precision/kernel/shape/device`; it joins a row to
    /// `samples.csv` and `trajectory.csv` of its run.
    pub case_id: String,

    // What was computed.
    /// `matmul` or `sgd`.
    pub workload: String,
    /// Whose code computed it: `tradeoff`, or a peer and its version, e.g. `gemm 0.19.0`; empty is
    /// `tradeoff`.
    pub implementation: String,
    /// Implementation of the workload, e.g. `naive` or `register_tiled`.
    pub kernel: String,
    /// SHA-256 of the composed WGSL, in hexadecimal; empty on the CPU.
    pub wgsl_sha256: String,
    /// Values of the kernel's tuning parameters, e.g. `rows=8 columns=8 depth=4`; empty where it
    /// has none.
    pub kernel_parameters: String,
    /// Where `kernel_parameters` come from: `default`, `cached` (an earlier run's tuner chose them)
    /// or `tuned` (this run's did); empty where there are none.
    pub tuning: String,
    /// Name of the precision, e.g. `fp16-sr` or `D8M8-SR`.
    pub precision: String,
    /// Storage format of the operands (matmul) or of the data set (sgd).
    pub operand_format: String,
    /// Format of the accumulator (matmul) or of the model (sgd).
    pub accumulator_format: String,
    /// Format to which an entry of C is rounded, the one whose ULP counts; empty for sgd.
    pub output_format: String,
    /// `nearest` or `stochastic`.
    pub rounding: String,
    /// Random bits of one stochastic rounding, 16 unless fewer were asked for; empty where it rounds to
    /// nearest. Rows of sgd from before its number was a setting have none, and drew 16.
    pub rounding_bits: Option<u32>,
    /// Numbers that share one scale: `tensor`, `rowwise`, or `block32` (32 along k); empty without a
    /// scale.
    pub scaling: String,
    /// How f16 is loaded: `native` (SHADER_F16) or `packed` (32-bit words); empty without f16.
    pub f16_path: String,
    /// Shape as in `case_id`, e.g. `512x512x512`; a swept learning rate or number of random bits stands
    /// behind it there, as in `digits-b32-lr0.5x` or `512x512x512-r8`, and not here.
    pub shape: String,
    /// Rows of A and of C.
    pub m: Option<u64>,
    /// Columns of B and of C.
    pub n: Option<u64>,
    /// Columns of A, rows of B: the length of each sum.
    pub k: Option<u64>,
    /// How A and B are stored: `nn` (both row-major as they are multiplied), `tn` (A transposed),
    /// `nt` (B transposed) or `tt`.
    pub operand_layout: String,
    /// Independent products of one iteration, each with its own A, B and C.
    pub batch_count: Option<u64>,
    /// Examples in the training set.
    pub examples: Option<u64>,
    /// Numbers in one example.
    pub features: Option<u64>,
    /// Classes of a classification; empty for a regression.
    pub classes: Option<u64>,
    /// Examples in one minibatch.
    pub batch: Option<u64>,
    /// Where the inputs come from: a seeded problem, a data set, or a file of the user's.
    pub problem: String,
    /// Distribution of seeded inputs, e.g. `normal`; empty for real data.
    pub distribution: String,
    /// Parameters of the distribution, e.g. `phi=2` or `fraction=0.01 factor=20`; empty where it has
    /// none.
    pub distribution_parameters: String,
    /// Seed of the inputs and of stochastic rounding.
    pub seed: Option<u64>,
    /// Number of the repetition with other rounding bits on the same inputs.
    pub trial: Option<u32>,
    /// SHA-256 of the inputs, in hexadecimal: in f32, or in f64 where files of the user's were so.
    pub inputs_sha256: String,
    /// Data set of an sgd case, e.g. `digits`.
    pub data_set: String,
    /// `least-squares` or `logistic`.
    pub loss_function: String,
    /// How an sgd case descends: `sgd`, `averaged-sgd`, `lp-svrg` or `halp`; empty for matmul.
    pub algorithm: String,
    /// Parameters of the algorithm, e.g. `mu=0.03 period=2000`; empty where it has none.
    pub algorithm_parameters: String,
    /// Factor of the gradient in one step. Unit: 1.
    pub learning_rate: Option<f64>,
    /// Minibatch steps in one run.
    pub steps: Option<u64>,
    /// Factor of half the squared norm of the model in the loss. Unit: 1.
    pub regularisation: Option<f64>,
    /// Distance of neighbouring numbers of a fixed-point data set, a power of two. Unit: 1.
    pub dataset_step: Option<f64>,
    /// Distance of neighbouring numbers of a fixed-point model, a power of two. Unit: 1.
    pub model_step: Option<f64>,

    // How fast. One iteration is one product (matmul) or one run of `steps` steps (sgd).
    /// `timestamp` (the device's clock) or `host` (the host's clock around submit and wait).
    pub timing_method: String,
    /// Timing samples behind the statistics.
    pub samples: Option<u64>,
    /// Iterations that one sample spans.
    pub iterations_per_sample: Option<u64>,
    /// Why sampling ended: `interval` (that of the median was narrow enough), `time`, `samples`
    /// (the most that a case may have were reached), `interrupted` (Ctrl-C, with enough samples for
    /// an interval) or `criterion` (which decides before it samples).
    pub stop_reason: String,
    /// Width of the 95 % confidence interval of `median_ns`, over `median_ns`, at which sampling
    /// was to end; empty where none was asked for. Unit: 1.
    pub interval_width_wanted: Option<f64>,
    /// `rounds` (the samples of the cases of one shape were drawn in turn) or `none` (one case
    /// after the other).
    pub interleaving: String,
    /// `warm` (every iteration reads the same buffers) or `cold` (iterations go through copies that
    /// together outgrow the last-level cache).
    pub cache: String,
    /// Size of all copies that a `cold` case goes through. Unit: bytes.
    pub rotated_bytes: Option<u64>,
    /// Processes that measured the case; the statistics are over the samples of all.
    pub processes: Option<u32>,
    /// Standard deviation of the processes' own medians; empty for one process. Unit: ns.
    pub between_processes_sd_ns: Option<f64>,
    /// Wall time of warm-up and samples of the main stage. Unit: ns.
    pub sampling_ns: Option<f64>,
    /// Wall time of the verification: the mirror, the comparison with it, and the errors. The truth,
    /// which the cases of a shape share, is not in it, and the mirror, which the kernels of a precision
    /// share, is in the first of their rows alone. Unit: ns.
    pub verification_ns: Option<f64>,
    /// Least time of one iteration over the samples. Unit: ns.
    pub min_ns: Option<f64>,
    /// Lower quartile of the time of one iteration. Unit: ns.
    pub q1_ns: Option<f64>,
    /// Median of the time of one iteration, without the conversion of the operands. Unit: ns.
    pub median_ns: Option<f64>,
    /// Lower end of the 95 % confidence interval of `median_ns`, whose samples are taken for independent,
    /// those of several processes too. Unit: ns.
    pub median_ci95_low_ns: Option<f64>,
    /// Upper end of the 95 % confidence interval of `median_ns`, as its lower end. Unit: ns.
    pub median_ci95_high_ns: Option<f64>,
    /// Upper quartile of the time of one iteration. Unit: ns.
    pub q3_ns: Option<f64>,
    /// Median absolute deviation of the time of one iteration from its median, not rescaled. Unit:
    /// ns.
    pub mad_ns: Option<f64>,
    /// Arithmetic operations of one iteration that the workload's definition asks for; a
    /// product-add counts as two.
    pub operations: Option<u64>,
    /// Bytes that one iteration must move at least: each input read once, each output written once;
    /// of sgd what each step and each full gradient reads and writes. Unit: bytes.
    pub bytes: Option<u64>,
    /// Rate at `median_ns`. Unit: see `throughput_unit`.
    pub throughput: Option<f64>,
    /// Unit of `throughput` and `total_throughput`: `GFLOP/s`, `GOP/s` or `GNPS`.
    pub throughput_unit: String,
    /// `bytes` over `median_ns`. Unit: GB/s.
    pub bandwidth_gbs: Option<f64>,
    /// `operations` over `bytes`. Unit: 1/byte.
    pub arithmetic_intensity: Option<f64>,
    /// Unit of the device whose measured peak counts here: `f32_fma`, `f16_fma`, `dot4`,
    /// `dot4+f32_fma` (half of the operations each, as in the gradient; the update's, one in
    /// `batch` + 1, count as mixed alike) or `cooperative`; empty where the roofline was not
    /// measured, and for `lp-svrg` and `halp` on a GPU, whose full gradients are the host's and no
    /// unit's of the GPU.
    pub peak_unit: String,
    /// Measured peak of `peak_unit`, in billions of operations a second. Unit: GOP/s.
    pub peak_throughput: Option<f64>,
    /// Operations a second over `peak_throughput`; empty with it. Unit: %.
    pub percent_of_peak: Option<f64>,
    /// Measured bandwidth of the device's memory: of reading for sgd and on the CPU, else of a
    /// copy, whose bytes are those read and those written. Empty for `lp-svrg` and `halp` on a GPU,
    /// whose full gradients the host reads from its own memory. Unit: GB/s.
    pub peak_bandwidth_gbs: Option<f64>,
    /// `bandwidth_gbs` over `peak_bandwidth_gbs`; over 100 where the data stayed in a cache; empty
    /// with `peak_bandwidth_gbs`. Unit: %.
    pub percent_of_bandwidth: Option<f64>,
    /// Measured time of a dispatch that does nothing; 0 on the CPU. Unit: ns.
    pub dispatch_latency_ns: Option<f64>,
    /// Which of the least times is the longest: of `operations` at `peak_throughput` (`compute`),
    /// of `bytes` at `peak_bandwidth_gbs` (`bandwidth`), or of one iteration's dispatches doing
    /// nothing (`latency`); empty where one of them is not known, and so for `lp-svrg` and `halp`
    /// on a GPU.
    pub limited_by: String,
    /// Clock of the device before sampling. Unit: MHz.
    pub clock_before_mhz: Option<f64>,
    /// Clock of the device after sampling. Unit: MHz.
    pub clock_after_mhz: Option<f64>,
    /// Temperature of the device before sampling. Unit: °C.
    pub temperature_before_c: Option<f64>,
    /// Temperature of the device after sampling. Unit: °C.
    pub temperature_after_c: Option<f64>,
    /// Power of the device before sampling. Unit: W.
    pub power_before_w: Option<f64>,
    /// Power of the device after sampling. Unit: W.
    pub power_after_w: Option<f64>,
    /// Why the device ran under its clock before or after sampling, as its driver names it; empty
    /// where it did not or cannot be asked.
    pub throttle_reasons: String,
    /// Whether the device was slowed for heat or power between the first sample and the last, by
    /// whichever of the cases that were sampled in turn: `true` or `false`; empty where it cannot be
    /// asked.
    pub throttled: Option<bool>,
    /// Energy of one iteration: of the whole device while it ran without a pause for half a second
    /// after sampling, over the iterations. Unit: J.
    pub energy_j: Option<f64>,
    /// `operations` over `energy_j`; empty for `lp-svrg` and `halp` on a GPU, where
    /// `energy_j` is the GPU's alone. Unit: 1/J.
    pub operations_per_joule: Option<f64>,
    /// Median of the time in which the operands are converted from f32 to their storage format. Empty,
    /// with all columns of the conversion and the total, where they are taken as they come, and where
    /// the host makes their parts, untimed, of numbers given in f64 (`fp16x2`, `bf16x3`). Unit: ns.
    pub conversion_median_ns: Option<f64>,
    /// Lower end of the 95 % confidence interval of `conversion_median_ns`. Unit: ns.
    pub conversion_median_ci95_low_ns: Option<f64>,
    /// Upper end of the 95 % confidence interval of `conversion_median_ns`. Unit: ns.
    pub conversion_median_ci95_high_ns: Option<f64>,
    /// Bytes that the conversion must move at least. Unit: bytes.
    pub conversion_bytes: Option<u64>,
    /// Median of the time of the conversion and one iteration, measured together. Unit: ns.
    pub total_median_ns: Option<f64>,
    /// Lower end of the 95 % confidence interval of `total_median_ns`. Unit: ns.
    pub total_median_ci95_low_ns: Option<f64>,
    /// Upper end of the 95 % confidence interval of `total_median_ns`. Unit: ns.
    pub total_median_ci95_high_ns: Option<f64>,
    /// Rate at `total_median_ns`: what is left of `throughput` once the conversion is paid for.
    /// Unit: see `throughput_unit`.
    pub total_throughput: Option<f64>,
    /// Minibatch steps a second. Unit: 1/s.
    pub steps_per_second: Option<f64>,
    /// Examples processed a second. Unit: 1/s.
    pub examples_per_second: Option<f64>,
    /// Numbers of the data set processed a second, in billions (De Sa et al. 2017). Unit: GNPS.
    pub gnps: Option<f64>,

    // How wrong, on the same buffers. Infinite and undefined values are written `inf` and `NaN`.
    /// Truth that the errors are measured against, e.g. `f64` or `exact`.
    pub reference: String,
    /// Fraction of the entries of the result that were compared with the truth. Unit: 1.
    pub reference_fraction: Option<f64>,
    /// Fraction of the rows of the result that were compared with the mirror; of sgd on the CPU,
    /// where the mirror itself is measured, of the steps that were compared with their definition
    /// (`sgd`, `averaged-sgd`) or with what f64 allows (`lp-svrg`, `halp`). Unit: 1.
    pub verified_fraction: Option<f64>,
    /// Name of the column that is the workload's primary error.
    pub primary_error_metric: String,
    /// Value of the primary error. Unit: as its column.
    pub primary_error: Option<f64>,
    /// SHA-256 of the result's bits, in hexadecimal: of C in f32, or in the wider form of `fp32x2`
    /// (pairs of f32) and `fp64`; of the last model as it is stored, with the sums of models behind
    /// it for `averaged-sgd`; for `lp-svrg` and `halp` of the model in f64.
    pub result_sha256: String,
    /// Frobenius norm of the error over that of the truth. Unit: 1.
    pub relative_frobenius: Option<f64>,
    /// Part of the error that the conversion of the operands makes: the Frobenius norm of the exact
    /// product of the converted operands (the sums of their parts, elements times their scales) less the
    /// truth, over that of the truth. Unit: 1.
    pub conversion_error: Option<f64>,
    /// Part of the error that the sums make: the Frobenius norm of the sums before they are rounded to
    /// `output_format` less the exact product of the converted operands, over that of the truth. Products
    /// of low parts that a kernel leaves out are missing here. Empty where the sums are not those of
    /// `output_format` and no mirror models the device. Unit: 1.
    pub accumulation_error: Option<f64>,
    /// Part of the error that the last rounding makes: the Frobenius norm of the result less the sums
    /// before it, over that of the truth; 0 where the sums are the result. Empty as
    /// `accumulation_error`. Unit: 1.
    pub output_rounding_error: Option<f64>,
    /// Root of the sum of the squares of the three parts, over `relative_frobenius`: near 1 where the
    /// parts are independent. Unit: 1.
    pub parts_over_error: Option<f64>,
    /// Largest ratio of an entry's absolute error to the same entry of |A||B|. Unit: 1.
    pub max_componentwise: Option<f64>,
    /// Largest distance of an entry from the truth in units in the last place of `output_format`.
    /// Unit: ULP.
    pub max_ulp: Option<f64>,
    /// Median distance of an entry from the truth in units in the last place of `output_format`.
    /// Unit: ULP.
    pub median_ulp: Option<f64>,
    /// Mean over the entries of the signed error over the same entry of |A||B|. Unit: 1.
    pub signed_bias: Option<f64>,
    /// Lower end of the 95 % confidence interval of `signed_bias`. Unit: 1.
    pub signed_bias_ci95_low: Option<f64>,
    /// Upper end of the 95 % confidence interval of `signed_bias`. Unit: 1.
    pub signed_bias_ci95_high: Option<f64>,
    /// Independent seeds of stochastic rounding behind the columns `trial_`…, on the same inputs; empty
    /// where none were asked for.
    pub trials: Option<u32>,
    /// Root mean square over the trials of the relative Frobenius error of one. Unit: 1.
    pub trial_error: Option<f64>,
    /// Relative Frobenius error of the mean of the trials' results. Unit: 1.
    pub trial_mean_error: Option<f64>,
    /// Mean over the trials of the signed bias of one. Unit: 1.
    pub trial_bias: Option<f64>,
    /// Lower end of the 95 % confidence interval of `trial_bias`, from its variance between trials.
    /// Unit: 1.
    pub trial_bias_ci95_low: Option<f64>,
    /// Upper end of the 95 % confidence interval of `trial_bias`, from its variance between trials.
    /// Unit: 1.
    pub trial_bias_ci95_high: Option<f64>,
    /// Entries of the result that are infinite or NaN.
    pub non_finite_count: Option<u64>,
    /// `deterministic`: proven from the conversions, γ_k and the output's rounding. `none`: it says
    /// nothing here.
    pub bound_kind: String,
    /// Frobenius norm of the entries' own bounds over that of the truth: what `relative_frobenius`
    /// cannot exceed. Unit: 1.
    pub relative_frobenius_bound: Option<f64>,
    /// Bound on the absolute error of the entry that comes nearest to its bound. Unit: 1.
    pub bound: Option<f64>,
    /// Largest ratio of an entry's measured error to its own bound; over 1 is `wrong`. Unit: 1.
    pub measured_over_bound: Option<f64>,
    /// Largest ratio of an entry's measured error to its probabilistic bound (Higham and Mary 2019),
    /// for sums rounded to nearest; empty for integer sums, which are exact, for compensated and
    /// double-single ones, of which it says nothing, and where the device or its matrix units are not
    /// known to round to nearest. Unit: 1.
    pub measured_over_probabilistic: Option<f64>,
    /// Probability with which at least one compared entry may exceed its probabilistic bound, at most.
    /// Unit: 1.
    pub probabilistic_failure: Option<f64>,
    /// Largest ratio of an entry's measured error to its bound for stochastic rounding (Connolly, Higham
    /// and Mary 2021). Unit: 1.
    pub measured_over_stochastic: Option<f64>,
    /// Probability with which at least one compared entry may exceed its bound for stochastic rounding,
    /// at most. Unit: 1.
    pub stochastic_failure: Option<f64>,
    /// Whether the deterministic bound says nothing at this k: `true` or `false`; empty where none was
    /// computed.
    pub bound_vacuous: Option<bool>,
    /// Of the additions of a number other than 0 to an accumulator (matmul, a seeded sample), or of
    /// the updates of the model's coordinates that were not 0 before they were rounded (sgd, all
    /// steps), the part that left it as it was, counted in the mirror. Where operands have scales in
    /// blocks, the additions are those of the blocks' sums; a sum of two parts is as it was where both
    /// are; exact integer sums have 0; empty where k is cut into slices. Unit: 1.
    pub stagnated_fraction: Option<f64>,
    /// Whether running again gave equal bits: `true` or `false`.
    pub repeatable: Option<bool>,
    /// Whether rows of C had equal bits when they were computed alone, in another tile and in another
    /// shape: `true` or `false`; empty where it was not asked.
    pub batch_invariant: Option<bool>,
    /// Compared entries whose bits differ from the mirror's (all NaNs equal, +0 equal to −0). Of
    /// `lp-svrg` and `halp` on the CPU: numbers stored by a step that are none to which the same
    /// step in f64 may round within the error of f32, and coordinates of models that do not follow
    /// from them.
    pub mirror_mismatches: Option<u64>,
    /// Compared entries that are +0 where the mirror has −0, or the reverse.
    pub mirror_signed_zero_mismatches: Option<u64>,
    /// Distance of the last model from that of the same steps in f64, over the norm of the latter;
    /// for `averaged-sgd` of the mean of models from the mean of the same in f64. Empty for
    /// `lp-svrg` and `halp`. Unit: 1.
    pub distance_to_f64_trajectory: Option<f64>,
    /// Distance of the last model from the f64 optimum, over the norm of the latter. Unit: 1.
    pub distance_to_optimum: Option<f64>,
    /// Loss of the last model less the loss at the f64 optimum. Unit: 1.
    pub loss_gap: Option<f64>,
    /// Norm of the gradient of the loss over the whole training set at the last model, in f64. Unit: 1.
    pub gradient_norm: Option<f64>,
    /// Fraction of the held-out examples that the last model classifies correctly. Unit: 1.
    pub test_accuracy: Option<f64>,

    // On what.
    /// Name of the device in bench ids, e.g. `llvmpipe-vulkan` or `cpu`.
    pub device: String,
    /// Name that the driver gives the device.
    pub device_name: String,
    /// `cpu`, `integrated`, `discrete`, `virtual` or `other`.
    pub device_type: String,
    /// PCI vendor id, in decimal.
    pub vendor_id: Option<u32>,
    /// PCI device id, in decimal.
    pub device_id: Option<u32>,
    /// `vulkan`, `gl`, `metal`, `dx12` or `cpu`.
    pub backend: String,
    /// Name of the driver.
    pub driver: String,
    /// Version of the driver, as it describes itself.
    pub driver_info: String,
    /// Least number of lanes in a subgroup.
    pub subgroup_min: Option<u32>,
    /// Greatest number of lanes in a subgroup.
    pub subgroup_max: Option<u32>,
    /// SHA-256 of the device's fingerprint, in hexadecimal: devices whose probed arithmetic is the same
    /// have the same.
    pub fingerprint_sha256: String,
    /// Whether the shader ran with index clamps and loop bounds: `true` or `false`.
    pub runtime_checks: Option<bool>,
    /// Greatest size of the case's buffers that existed on the device at one time. Unit: bytes.
    pub peak_device_memory_bytes: Option<u64>,
    /// Time in which the kernel's pipeline was made. Unit: ns.
    pub pipeline_compile_ns: Option<f64>,

    // By what.
    /// Version of tradeoff.
    pub crate_version: String,
    /// Version of wgpu.
    pub wgpu_version: String,
    /// Commit that the program was built from, or `unknown`.
    pub git_revision: String,
    /// Whether tracked files differed from that commit when the program was built; empty if
    /// unknown.
    pub git_dirty: Option<bool>,
    /// Version of the compiler.
    pub rustc: String,
    /// Operating system.
    pub os: String,
    /// Name that the processor gives itself.
    pub cpu: String,

    // How it ended.
    /// `ok`, `wrong` (verification failed), `failed` (it did not run to its end) or `skipped` (it
    /// was not started).
    pub status: Status,
    /// Why the status is not `ok`, in one line.
    pub reason: String,
}

/// A precision, with the random bits of its stochastic roundings behind it where they are not the usual
/// 16: `fp16-sr r=8`.
pub fn precision_label(precision: &str, rounding_bits: Option<u32>) -> String {
    match rounding_bits.filter(|&bits| bits != ROUNDING_BITS) {
        None => precision.to_owned(),
        Some(bits) => format!("{precision} r={bits}"),
    }
}

impl Record {
    /// Random bits of one stochastic rounding, where they are not the usual 16: what tells two settings
    /// of one precision apart.
    pub fn fewer_rounding_bits(&self) -> Option<u32> {
        self.rounding_bits.filter(|&bits| bits != ROUNDING_BITS)
    }

    /// [`precision_label`] of the row.
    pub fn precision_label(&self) -> String {
        precision_label(&self.precision, self.rounding_bits)
    }

    /// The shape as `case_id` spells it: with what else is not as usual behind it, such as a swept
    /// learning rate.
    pub fn shape_in_id(&self) -> &str {
        let in_id = self.case_id.split('/').nth(3);
        in_id.filter(|text| text.starts_with(&self.shape)).unwrap_or(&self.shape)
    }
}

impl Row for Record {
    const FILE: &'static str = "measurements.csv";
    const REQUIRED: &'static [&'static str] = &["schema_version", "case_id", "status"];

    fn stamped(&self, run_id: &str) -> Self {
        let mut row = self.clone();
        row.schema_version = SCHEMA_VERSION;
        row.run_id = run_id.to_owned();
        if row.utc.is_empty() {
            row.utc = super::provenance::utc_now();
        }
        row
    }
}

/// One timing sample: a row of `samples.csv`, in long form.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sample {
    /// Version of this schema under which the row was written.
    pub schema_version: u32,
    /// Bench id of the case, as in `measurements.csv`.
    pub case_id: String,
    /// `product`, `conversion`, `total` (conversion and product together) or `run` (one run of
    /// SGD).
    pub stage: Stage,
    /// Number of the sample within its case and stage, from 0, in the order of time.
    pub sample: u64,
    /// Process that drew the sample, from 0.
    pub process: Option<u32>,
    /// Iterations that the sample spans.
    pub iterations: u64,
    /// Time of all iterations of the sample together. Unit: ns.
    pub elapsed_ns: f64,
}

impl Row for Sample {
    const FILE: &'static str = "samples.csv";
    const REQUIRED: &'static [&'static str] =
        &["schema_version", "case_id", "stage", "sample", "iterations", "elapsed_ns"];

    fn stamped(&self, _run_id: &str) -> Self {
        Self { schema_version: SCHEMA_VERSION, ..self.clone() }
    }
}

/// One point of the way of an SGD run: a row of `trajectory.csv`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TrajectoryPoint {
    /// Version of this schema under which the row was written.
    pub schema_version: u32,
    /// Bench id of the case, as in `measurements.csv`.
    pub case_id: String,
    /// Minibatch steps done so far; 0 is the initial model.
    pub step: u64,
    /// Time of the steps so far, every step taken to last the same: the median time of the run
    /// times `step` over its steps; no step is timed alone. For `lp-svrg` and `halp` every row read
    /// is taken to last the same, those of full gradients too: the median times the rows read so
    /// far over all. Unit: ns.
    pub elapsed_ns: Option<f64>,
    /// Loss over the whole training set, in f64. Unit: 1.
    pub loss: Option<f64>,
    /// Loss less the loss at the f64 optimum. Unit: 1.
    pub loss_gap: Option<f64>,
    /// Distance of the model from that of the same steps in f64, over the norm of the latter; the
    /// last model of `averaged-sgd` is a mean, and so is that in f64. Empty for `lp-svrg` and
    /// `halp`. Unit: 1.
    pub distance_to_f64_trajectory: Option<f64>,
    /// Distance of the model from the f64 optimum, over the norm of the latter. Unit: 1.
    pub distance_to_optimum: Option<f64>,
    /// Fraction of the held-out examples that the model classifies correctly. Unit: 1.
    pub test_accuracy: Option<f64>,
}

impl Row for TrajectoryPoint {
    const FILE: &'static str = "trajectory.csv";
    const REQUIRED: &'static [&'static str] = &["schema_version", "case_id", "step"];

    fn stamped(&self, _run_id: &str) -> Self {
        Self { schema_version: SCHEMA_VERSION, ..self.clone() }
    }
}
