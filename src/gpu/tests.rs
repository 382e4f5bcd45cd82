//! The module against every adapter of this machine (none is fine: then these tests ask nothing).

use super::*;
use std::sync::{Mutex, OnceLock, PoisonError};

/// Runs a test on each adapter in turn. Contexts are opened once a process, and one test at a time
/// uses them, because a GL context belongs to one thread and timings want quiet.
pub(super) fn on_each_device(test: impl Fn(&Context)) {
    static CONTEXTS: OnceLock<Mutex<Vec<Context>>> = OnceLock::new();
    let contexts = CONTEXTS.get_or_init(|| {
        let candidates = discover(None).expect("every device");
        let gpus = candidates.iter().filter(|candidate| !candidate.is_cpu());
        Mutex::new(gpus.map(|gpu| gpu.open().expect(&gpu.info.slug)).collect())
    });
    for context in contexts.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        println!("{}: {:?}, {:?}", context.info.slug, context.timing, context.fingerprint);
        test(context);
    }
}

fn composed(text: &'static str) -> Composed {
    compose(&[Source { path: "test.wgsl", text }])
}

/// Counts its dispatches in every word, and adds `amount`.
const COUNTER: &str = "
    override amount: u32 = 1u;
    @group(0) @binding(0) var<storage, read_write> words: array<u32>;
    @compute @workgroup_size(64)
    fn count(@builtin(global_invocation_id) id: vec3<u32>) {
        if (id.x < arrayLength(&words)) { words[id.x] += amount; }
    }";

fn words(context: &Context, buffer: &Buffer) -> Vec<u32> {
    let bytes = context.read(buffer, 0, buffer.bytes()).expect("in range");
    bytemuck::pod_collect_to_vec(&bytes)
}

#[test]
fn buffers_round_trip_at_any_offset_and_length() {
    on_each_device(|context| {
        let data: Vec<u8> = (0..1003u32).map(|i| (i * 7 + i / 256) as u8).collect();
        let buffer = context.buffer("bytes", data.len() as u64).unwrap();
        assert_eq!(buffer.bytes(), 1008);
        assert_eq!(context.read(&buffer, 0, 1008).unwrap(), [0; 1008]);
        context.upload(&buffer, &data).unwrap();
        for (offset, bytes) in [(0, 1003), (1, 2), (5, 997), (1002, 1), (500, 0)] {
            let read = context.read(&buffer, offset as u64, bytes as u64).unwrap();
            assert_eq!(read, data[offset..offset + bytes]);
        }
        for (offset, bytes) in [(0, 1009), (1009, 0), (u64::MAX, 2)] {
            let error = context.read(&buffer, offset, bytes).unwrap_err();
            assert!(matches!(error, GpuError::Invalid { .. }), "{error}");
        }
        assert!(matches!(context.upload(&buffer, &[0; 1009]), Err(GpuError::Invalid { .. })));
    });
}

#[test]
fn transfers_longer_than_one_staging_buffer_are_whole() {
    on_each_device(|context| {
        let data: Vec<u32> =
            (0..(64 << 18) + 999u32).map(|i| i.wrapping_mul(2_654_435_761)).collect();
        let bytes: &[u8] = bytemuck::cast_slice(&data);
        let buffer = context.buffer("long", bytes.len() as u64).unwrap();
        context.upload(&buffer, bytes).unwrap();
        assert!(context.read(&buffer, 0, bytes.len() as u64).unwrap() == bytes);
    });
}

#[test]
fn a_buffer_over_the_limit_names_both_sizes() {
    on_each_device(|context| {
        let limit = context.info.max_binding_bytes.min(context.info.max_buffer_bytes);
        for bytes in [limit + 1, u64::MAX] {
            let error = context.buffer("huge", bytes).unwrap_err();
            assert!(
                matches!(&error, GpuError::OverLimit { asked, limit: l, .. } if *asked >= bytes && *l == limit)
            );
            let text = error.to_string();
            assert!(text.contains(&limit.to_string()) && text.contains("huge"), "{text}");
        }
    });
}

#[test]
fn memory_is_counted_while_buffers_or_commands_live() {
    on_each_device(|context| {
        let before = context.allocated_bytes();
        context.reset_peak();
        let buffer = context.buffer("a", 100).unwrap();
        let command = context.clear(&buffer);
        drop(context.buffer("b", 1000).unwrap());
        assert_eq!(context.allocated_bytes() - before, 112);
        assert_eq!(context.peak_bytes() - before, 112 + 1008);
        drop(buffer);
        assert_eq!(context.allocated_bytes() - before, 112, "the command still uses it");
        drop(command);
        assert_eq!(context.allocated_bytes(), before);
        context.reset_peak();
        assert_eq!(context.peak_bytes(), before);
    });
}

#[test]
fn invalid_kernels_are_errors_on_one_line() {
    on_each_device(|context| {
        let compile = |text, entry, constants: &[(&str, f64)]| {
            let error = context.pipeline(&composed(text), entry, constants).unwrap_err();
            assert!(matches!(error, GpuError::Compile { .. }), "{error}");
            assert!(!error.to_string().contains('\n'), "{error}");
        };
        compile("fn broken( {", "broken", &[]);
        compile("@compute @workgroup_size(1) fn f() { let x: u32 = 1.5; }", "f", &[]);
        compile(COUNTER, "missing", &[]);
        compile(COUNTER, "count", &[("unknown", 1.0)]);
        compile("@compute @workgroup_size(65536) fn wide() {}", "wide", &[]);
        let fine = context.pipeline(&composed(COUNTER), "count", &[]).unwrap();
        assert!(fine.compile_ns > 0.0);
    });
}

#[test]
fn invalid_dispatches_are_errors() {
    on_each_device(|context| {
        let pipeline = context.pipeline(&composed(COUNTER), "count", &[]).unwrap();
        let buffer = context.buffer("words", 64).unwrap();
        let limit = context.info.max_workgroups_per_dimension;
        let error = context.dispatch(&pipeline, &[(0, &buffer)], [1, limit + 1, 1]).unwrap_err();
        let asked = u64::from(limit) + 1;
        assert!(
            matches!(error, GpuError::OverLimit { asked: a, limit: l, .. } if a == asked && l == u64::from(limit))
        );
        for bindings in [&[][..], &[(1, &buffer)], &[(0, &buffer), (1, &buffer)]] {
            let error = context.dispatch(&pipeline, bindings, [1, 1, 1]).unwrap_err();
            assert!(matches!(error, GpuError::Invalid { .. }), "{error}");
        }
        let small = context.buffer("small", 16).unwrap();
        let error = context.run(&[context.copy(&buffer, 0, &small, 0, 64)], 1).unwrap_err();
        assert!(matches!(error, GpuError::Invalid { .. }), "{error}");
        context.run(&[context.clear(&buffer)], 1).expect("an error is reported once");
    });
}

#[test]
fn each_command_runs_in_order_and_as_often_as_asked() {
    on_each_device(|context| {
        let one = context.pipeline(&composed(COUNTER), "count", &[]).unwrap();
        let ten = context.pipeline(&composed(COUNTER), "count", &[("amount", 10.0)]).unwrap();
        let [sum, copy] = ["sum", "copy"].map(|label| context.buffer(label, 400).unwrap());
        let list = [
            context.dispatch(&one, &[(0, &sum)], [2, 1, 1]).unwrap(),
            context.copy(&sum, 0, &copy, 0, 400),
            context.dispatch(&ten, &[(0, &sum)], [2, 1, 1]).unwrap(),
            context.dispatch(&one, &[(0, &copy)], [2, 1, 1]).unwrap(),
        ];
        // The first run learns the pace from 1 list, so the second is split otherwise.
        for (repeats, total) in [(0, 0), (1, 1), (1000, 1001), (7, 1008)] {
            let elapsed = context.run(&list, repeats).unwrap();
            assert_eq!(elapsed.host_ns > 0.0, repeats > 0);
            assert_eq!(words(context, &sum), [11 * total; 100]);
            let last = if total == 0 { 0 } else { 11 * total - 10 + 1 };
            assert_eq!(words(context, &copy), [last; 100]);
        }
        context.run(&[context.clear(&sum)], 1).unwrap();
        assert_eq!(words(context, &sum), [0; 100]);
    });
}

#[test]
fn uniform_records_are_bound_one_by_one() {
    const ADD: &str = "
        struct Parameters { amount: u32, times: u32, unused: u32 }
        @group(0) @binding(0) var<storage, read_write> words: array<u32>;
        @group(0) @binding(3) var<uniform> parameters: Parameters;
        @compute @workgroup_size(1)
        fn add() { words[0] += parameters.amount * parameters.times; }";
    on_each_device(|context| {
        let pipeline = context.pipeline(&composed(ADD), "add", &[]).unwrap();
        let buffer = context.buffer("words", 4).unwrap();
        let records = [[1u32, 1, 0], [10, 2, 0], [100, 3, 0]];
        let uniforms = context.uniforms("parameters", 12, bytemuck::cast_slice(&records)).unwrap();
        assert_eq!((uniforms.len(), uniforms.is_empty()), (3, false));
        let add =
            |i| context.dispatch_with(&pipeline, &[(0, &buffer)], (3, &uniforms, i), [1, 1, 1]);
        context.run(&[add(2).unwrap(), add(0).unwrap(), add(2).unwrap()], 1).unwrap();
        assert_eq!(words(context, &buffer)[0], 601);
        assert!(matches!(add(3), Err(GpuError::Invalid { .. })));
        for (size, bytes) in [(0, 12), (12, 0), (12, 13)] {
            let error = context.uniforms("odd", size, &vec![0; bytes]).unwrap_err();
            assert!(matches!(error, GpuError::Invalid { .. }), "{error}");
        }
    });
}

#[test]
fn twice_the_work_takes_twice_as_long() {
    on_each_device(|context| {
        let state = context.buffer("state", 4 * 4096).unwrap();
        let pipeline = context.pipeline(&compose(&PROBES[..1]), "timing", &[]).unwrap();
        let work = [context.dispatch(&pipeline, &[(0, &state)], [64, 1, 1]).unwrap()];
        let repeats = context.repeats_lasting(2e6, &work).unwrap();
        // The shortest of many short runs, interleaved: on a software adapter, one that no other
        // program interrupted.
        let (mut once, mut twice) = (f64::INFINITY, f64::INFINITY);
        for _ in 0..50 {
            for (repeats, shortest) in [(repeats, &mut once), (2 * repeats, &mut twice)] {
                let run = context.run(&work, repeats).unwrap();
                *shortest = shortest.min(run.device_ns.unwrap_or(run.host_ns));
            }
        }
        let ratio = twice / once;
        println!(
            "{}: {repeats} repeats took {once} ns, twice as many {ratio} times that",
            context.info.slug
        );
        assert!((1.6..=2.4).contains(&ratio));
        let run = context.run(&work, repeats).unwrap();
        assert_eq!(run.device_ns.is_some(), context.timing == TimingMethod::Timestamps);
        assert!(run.device_ns.is_none_or(|ns| ns <= run.host_ns));
    });
}

#[test]
fn a_lost_device_is_an_error_from_then_on() {
    on_each_device(|context| {
        let lost = context.reopen();
        let buffer = lost.buffer("before", 16).unwrap();
        let clear = [lost.clear(&buffer)];
        lost.device().destroy();
        for _ in 0..2 {
            assert!(matches!(lost.run(&clear, 1), Err(GpuError::Lost { .. })));
            assert!(matches!(lost.read(&buffer, 0, 16), Err(GpuError::Lost { .. })));
            assert!(matches!(lost.buffer("after", 16), Err(GpuError::Lost { .. })));
        }
    });
}

impl Context {
    /// A second context of the same adapter.
    fn reopen(&self) -> Context {
        let candidates = discover(Some(&self.info.slug)).unwrap();
        candidates[0].open().unwrap()
    }
}
