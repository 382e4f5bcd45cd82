//! One's own WGSL kernel, timed and held against a reference on every GPU present:
//! how far is a device's inverseSqrt from the truth, and how fast is it?

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
        let sample = |_| device.run(&work, 8).map(|t| (8, t.device_ns.unwrap_or(t.host_ns)));
        let times = Summary::of((0..20).map(sample).collect::<Result<Vec<_>, _>>()?)?;
        let y: Vec<f32> = bytemuck::pod_collect_to_vec(&device.read(&target, 0, 4 << 20)?);
        let error = |(&x, &y): (&f32, &f32)| (f64::from(y) * f64::from(x).sqrt() - 1.0).abs();
        let worst = x.iter().zip(&y).map(error).fold(0.0, f64::max);
        let gbs = 8.0 * x.len() as f64 / times.median_ns;
        println!("{}: {gbs:.2} GB/s, largest relative error {worst:.2e}", device.info.slug);
    }
    Ok(())
}
