//! Every kernel on every adapter present, against its mirror and its bound: one named test a case.
//!
//! The list comes from the registry of kernels and from the adapters; listing opens no device.
//! `TRADEOFF_DEVICES` and wgpu's variables choose adapters as they do for a run. Without an
//! adapter the tests are listed as ignored; `TRADEOFF_REQUIRE_GPU=vulkan,gl` makes that a failure.

mod devices;
mod matmul;
mod numbers;
mod wide;

use std::process::ExitCode;
use std::sync::Arc;

use devices::{Device, NO_ADAPTER, Required};
use libtest_mimic::{Arguments, Trial};

/// Random shapes of matmul, shared out among the devices.
const RANDOM_SHAPES: u32 = 50;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let (required, devices) = match prepare() {
        Ok(found) => found,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    let trials = trials(&required, &devices);
    let conclusion = libtest_mimic::run(&arguments, trials);
    // A test asked for by its whole name (nextest asks for each so) says nothing of the others.
    let whole_run = !arguments.list && !arguments.exact;
    if whole_run && !required.report(&devices) {
        return ExitCode::FAILURE;
    }
    conclusion.exit_code()
}

fn trials(required: &Required, devices: &[Arc<Device>]) -> Vec<Trial> {
    let mut trials: Vec<_> = required.trial(devices).into_iter().collect();
    if devices.is_empty() {
        trials.extend(matmul::names_without_adapter().map(ignored));
    }
    let random_cases = RANDOM_SHAPES.div_ceil(devices.len().max(1) as u32);
    let of_device = |device: &Arc<Device>| {
        let mut trials = numbers::trials(device);
        trials.push(matmul::random_shapes(device, random_cases));
        trials.extend(matmul::trials(device));
        trials.extend(wide::trials(device));
        trials
    };
    // In turns, so that threads wait for different devices.
    let mut queues: Vec<_> = devices.iter().map(|device| of_device(device).into_iter()).collect();
    while queues.iter().any(|queue| queue.len() > 0) {
        trials.extend(queues.iter_mut().filter_map(Iterator::next));
    }
    trials
}

/// What is required and what is there. Nothing is opened.
fn prepare() -> Result<(Required, Vec<Arc<Device>>), String> {
    let required = Required::from_env()?;
    let devices = devices::discover().map_err(|error| error.to_string())?;
    Ok((required, devices))
}

/// A test that says what is missing: ignored, and a failure where it is run all the same.
fn ignored(name: String) -> Trial {
    Trial::test(format!("{NO_ADAPTER}/{name}"), || Err("no GPU adapter to run it on".into()))
        .with_ignored_flag(true)
}
