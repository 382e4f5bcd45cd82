//! One's own WGSL kernel on every GPU present: how far is inverseSqrt off, and how fast is it?
use tradeoff::gpu::{Source, compose, discover_from_env};
use tradeoff::measure::statistics::Summary;

const KERNEL: Source = Source {
    path: "inverse_sqrt.wgsl",
    text: "@group(0) @binding(0) var<storage, read> x: array<f32>;
           @group(0) @binding(1) var<storage, read_write> y: array<f32>;
           @compute @workgroup_size(64)
           fn main(@builtin(global_invocation_id) id: vec3<u32>) { y[id.x] = inverseSqrt(x[id.x]); }",
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let x: Vec<f32> = (1..=1 << 20).map(|i| i as f32 / 1e3).collect();
    for candidate in discover_from_env()?.iter().filter(|candidate| !candidate.is_cpu()) {
        let device = candidate.open()?;
        let [source, target] = [device.buffer("x", 4 << 20)?, device.buffer("y", 4 << 20)?];
        device.upload(&source, bytemuck::cast_slice(&x))?;
        let pipeline = device.pipeline(&compose(&[KERNEL]), "main", &[])?;
        let work = [device.dispatch(&pipeline, &[(0, &source), (1, &target)], [1 << 14, 1, 1])?];
        let times: Result<Vec<_>, _> = (0..21).map(|_| device.run(&work, 64)).collect();
        let times = Summary::of(times?.iter().skip(1).map(|time| (64, time.host_ns)))?;
        let y: Vec<f32> = bytemuck::pod_collect_to_vec(&device.read(&target, 0, 4 << 20)?);
        let error = |(&x, &y): (&f32, &f32)| (f64::from(y) * f64::from(x).sqrt() - 1.0).abs();
        let worst = x.iter().zip(&y).map(error).max_by(f64::total_cmp).unwrap_or(0.0); // NaN too
        println!("{}: {:.0} ns, error {worst:.1e}", device.info.slug, times.median_ns);
    }
    Ok(())
}
