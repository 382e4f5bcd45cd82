//! The measurement that criterion is given: time as the session reports it, by the device's
//! timestamps or the host's clock, and throughput in the workload's own unit.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Instant;

use criterion::Throughput;
use criterion::measurement::{Measurement, ValueFormatter};

/// So many iterations took so long.
#[derive(Clone, Copy, Debug)]
pub struct Timed {
    pub iterations: u64,
    pub elapsed_ns: f64,
}

/// What criterion and the harness share.
#[derive(Clone)]
pub struct Clock {
    formatter: Rc<Formatter>,
    drawn: Rc<RefCell<Vec<(u64, f64)>>>,
}

impl Clock {
    pub fn new() -> Self {
        let formatter = Rc::new(Formatter { unit: Cell::new("op/s") });
        Self { formatter, drawn: Rc::default() }
    }

    /// The unit in which the next case's throughput is printed: of 10⁹ a second.
    pub fn set_unit(&self, unit: &'static str) {
        self.formatter.unit.set(unit);
    }

    /// The samples drawn since the last call: (iterations, elapsed ns).
    pub fn take(&self) -> Vec<(u64, f64)> {
        self.drawn.take()
    }
}

impl Measurement for Clock {
    type Intermediate = Instant;
    type Value = Timed;

    fn start(&self) -> Instant {
        Instant::now()
    }

    fn end(&self, started: Instant) -> Timed {
        Timed { iterations: 1, elapsed_ns: started.elapsed().as_nanos() as f64 }
    }

    fn add(&self, a: &Timed, b: &Timed) -> Timed {
        Timed { iterations: a.iterations + b.iterations, elapsed_ns: a.elapsed_ns + b.elapsed_ns }
    }

    fn zero(&self) -> Timed {
        Timed { iterations: 0, elapsed_ns: 0.0 }
    }

    /// Criterion converts a value exactly when it keeps it as a sample, and not while it warms up:
    /// so what passes here are its own samples.
    fn to_f64(&self, value: &Timed) -> f64 {
        self.drawn.borrow_mut().push((value.iterations, value.elapsed_ns));
        value.elapsed_ns
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        &*self.formatter
    }
}

struct Formatter {
    unit: Cell<&'static str>,
}

impl ValueFormatter for Formatter {
    fn scale_values(&self, typical_ns: f64, values: &mut [f64]) -> &'static str {
        let (factor, unit) = match typical_ns {
            ns if ns < 1e3 => (1.0, "ns"),
            ns if ns < 1e6 => (1e-3, "µs"),
            ns if ns < 1e9 => (1e-6, "ms"),
            _ => (1e-9, "s"),
        };
        values.iter_mut().for_each(|v| *v *= factor);
        unit
    }

    fn scale_throughputs(
        &self,
        _typical: f64,
        throughput: &Throughput,
        values: &mut [f64],
    ) -> &'static str {
        let (Throughput::Elements(count)
        | Throughput::Bytes(count)
        | Throughput::BytesDecimal(count)
        | Throughput::Bits(count)
        | Throughput::ElementsAndBytes { elements: count, .. }) = throughput;
        // A count a nanosecond is 10⁹ a second.
        values.iter_mut().for_each(|ns| *ns = *count as f64 / *ns);
        self.unit.get()
    }

    fn scale_for_machines(&self, _values: &mut [f64]) -> &'static str {
        "ns"
    }
}
