//! Every matmul kernel on every adapter present: bits against the mirror, error against the bound.

use libtest_mimic::{Arguments, Failed, Trial};
use std::sync::Arc;
use tradeoff::gpu::{Context, discover};
use tradeoff::mirror::{convert::Operands, matmul::multiply};
use tradeoff::number::Precision;
use tradeoff::problem::matrix::{Distribution, MatmulProblem};
use tradeoff::workload::matmul::{GpuMatmul, Kernel, KernelSource, Shape};

const SHAPES: [(usize, usize, usize); 8] = [
    (1, 1, 1),
    (1, 37, 5),
    (37, 1, 5),
    (5, 3, 300),
    (64, 64, 64),
    (65, 66, 67),
    (257, 131, 73),
    (16, 200, 1100),
];

fn main() {
    let arguments = Arguments::from_args();
    let mut trials = vec![];
    for candidate in discover(Some("all")).expect("devices") {
        if candidate.is_cpu() {
            continue;
        }
        let context = Arc::new(candidate.open().expect("open"));
        println!("{} {:?} {:?}", context.info.slug, context.fingerprint, context.timing);
        for kernel in Kernel::ALL {
            for precision in Precision::MATMUL {
                for native in [false, true] {
                    if native
                        && !(context.info.shader_f16
                            && precision.storage() == tradeoff::number::Format::F16)
                    {
                        continue;
                    }
                    for (m, n, k) in SHAPES {
                        let context = context.clone();
                        let name = format!(
                            "{}/{precision}/{kernel}/{}/{m}x{n}x{k}",
                            context.info.slug,
                            if native { "native" } else { "packed" }
                        );
                        trials.push(Trial::test(name, move || {
                            check(&context, kernel, precision, native, Shape { m, n, k })
                        }));
                    }
                }
            }
        }
    }
    libtest_mimic::run(&arguments, trials).exit()
}

fn check(
    context: &Context,
    kernel: Kernel,
    precision: Precision,
    native: bool,
    shape: Shape,
) -> Result<(), Failed> {
    let problem = MatmulProblem::generate(Distribution::Normal, shape.m, shape.n, shape.k, 1)?;
    let key = [1, 0];
    let source = KernelSource::of(kernel, precision, native);
    let gpu = GpuMatmul::prepare(context, &source, &problem.a, &problem.b, key, true)?;
    gpu.poison(context)?;
    context.run(gpu.conversion(), 1)?;
    let e = context.run(gpu.product(), 1)?;
    let c = gpu.result(context)?;
    let arithmetic = context.fingerprint.arithmetic;
    let operands = Operands::convert(precision, arithmetic, &problem.a, &problem.b, key);
    let rows: Vec<_> = (0..shape.m).collect();
    let mirror = multiply(precision, arithmetic, &operands, &rows, key);
    let bad: Vec<_> = (0..c.len()).filter(|&i| c[i] != mirror[i]).collect();
    if let Ok(_) = std::env::var("TIMES") {
        println!(
            "{precision} {kernel} {shape} {native}: {:.3} ms {:.2} GF",
            e.device_ns.unwrap_or(e.host_ns) / 1e6,
            shape.operations() as f64 / e.device_ns.unwrap_or(e.host_ns)
        );
    }
    if !bad.is_empty() {
        return Err(format!(
            "{} of {} differ; first at {}: {} against {}",
            bad.len(),
            c.len(),
            bad[0],
            c[bad[0]],
            mirror[bad[0]]
        )
        .into());
    }
    Ok(())
}
