//! burn, through CubeCL and its autotuner, on the wgpu adapter of tradeoff's own kernels.

use std::time::Instant;

use burn::tensor::wgpu::{WgpuBackend, wgpu};
use burn::tensor::{DType, Device, DeviceKind, Tensor, TensorData};
use half::f16;
use tradeoff::gpu::{DeviceInfo, discover};
use tradeoff::measure::Unmeasured;
use tradeoff::number::{Format, Precision};
use tradeoff::problem::matrix::{MatmulProblem, Matrix};
use tradeoff::record::Status;

use crate::{Peer, failed};

/// Version that `Cargo.toml` asks for, exactly; a test compares the two.
const VERSION: &str = "0.22.1";

/// Product of two of burn's tensors.
pub struct Burn {
    precision: Precision,
    slug: String,
    prepared: Option<Prepared>,
}

struct Prepared {
    device: Device,
    a: Tensor<2>,
    b: Tensor<2>,
    c: Option<Tensor<2>>,
}

impl Burn {
    /// burn at fp32 or fp16 on the adapter that tradeoff calls `slug`.
    pub fn new(precision: Precision, slug: &str) -> Self {
        Self { precision, slug: slug.to_owned(), prepared: None }
    }

    fn prepared(&mut self) -> Result<&mut Prepared, String> {
        self.prepared.as_mut().ok_or_else(|| "it was not prepared".to_owned())
    }
}

/// The adapter `slug`, opened by burn itself with the features that it wants.
fn open(slug: &str) -> Result<Device, Unmeasured> {
    let all = discover(None).map_err(|error| failed(error.to_string()))?;
    let infos: Vec<&DeviceInfo> = all.iter().map(|candidate| &candidate.info).collect();
    let at = infos.iter().position(|info| info.slug == slug);
    let at = at.ok_or_else(|| failed(format!("no device {slug} here")))?;
    let info = infos[at];
    let alike = |other: &&&DeviceInfo| {
        other.backend == info.backend && other.device_type == info.device_type
    };
    let index = infos[..at].iter().filter(alike).count();
    let kind = match info.device_type.as_str() {
        "discrete" => DeviceKind::DiscreteGpu(index),
        "integrated" => DeviceKind::IntegratedGpu(index),
        "virtual" => DeviceKind::VirtualGpu(index),
        "cpu" => DeviceKind::Cpu,
        _ => {
            return Err(absent(format!(
                "burn cannot choose an adapter of type {}",
                info.device_type
            )));
        }
    };
    let api = match info.backend.as_str() {
        "vulkan" => WgpuBackend::Vulkan,
        "metal" => WgpuBackend::Metal,
        "dx12" => WgpuBackend::Dx12,
        "gl" => WgpuBackend::Gl,
        other => return Err(absent(format!("burn has no wgpu backend {other}"))),
    };
    let opened = Device::wgpu_options().device_kind(kind).graphics_api(api).init_with_setup();
    let (device, setup) = opened.map_err(|error| failed(error.to_string()))?;
    check_same(info, &setup.adapter.get_info())?;
    Ok(device)
}

/// A ratio across two adapters would mean nothing.
fn check_same(wanted: &DeviceInfo, got: &wgpu::AdapterInfo) -> Result<(), Unmeasured> {
    let same = wanted.name == got.name
        && wanted.driver_info == got.driver_info
        && (wanted.vendor_id, wanted.device_id) == (got.vendor, got.device)
        && wanted.pci_bus_id == got.device_pci_bus_id;
    if same {
        return Ok(());
    }
    let (wanted, got) = (&wanted.name, &got.name);
    Err(failed(format!("burn opened another adapter: {got} where {wanted} was asked for")))
}

fn absent(reason: String) -> Unmeasured {
    Unmeasured::new(Status::Skipped, reason)
}

/// Uploads a matrix, rounded to nearest as tradeoff rounds it.
fn upload(matrix: &Matrix, precision: Precision, device: &Device) -> Tensor<2> {
    let shape = [matrix.rows, matrix.cols];
    match precision.storage() {
        Format::F16 => {
            let halves: Vec<f16> = matrix.data.iter().map(|&x| f16::from_f32(x)).collect();
            Tensor::from_data(TensorData::new(halves, shape), (device, DType::F16))
        }
        _ => Tensor::from_data(TensorData::new(matrix.data.clone(), shape), (device, DType::F32)),
    }
}

impl Peer for Burn {
    fn implementation(&self) -> String {
        format!("burn {VERSION}")
    }

    fn kernel(&self) -> &'static str {
        "burn"
    }

    fn precision(&self) -> Precision {
        self.precision
    }

    /// As its operands.
    fn output(&self) -> Format {
        self.precision.storage()
    }

    fn prepare(&mut self, problem: &MatmulProblem) -> Result<(), Unmeasured> {
        let device = open(&self.slug)?;
        if self.precision == Precision::Fp16 && !device.supports_dtype(DType::F16) {
            return Err(absent("burn does not compute in f16 on this adapter".to_owned()));
        }
        let a = upload(&problem.a, self.precision, &device);
        let b = upload(&problem.b, self.precision, &device);
        self.prepared = Some(Prepared { device, a, b, c: None });
        // Its autotuner runs with the first product, which is not timed.
        self.run().map_err(failed)
    }

    fn run(&mut self) -> Result<(), String> {
        self.time(1).map(|_| ())
    }

    fn time(&mut self, iterations: u64) -> Result<f64, String> {
        let Prepared { device, a, b, c } = self.prepared()?;
        let started = Instant::now();
        for _ in 0..iterations {
            *c = Some(a.clone().matmul(b.clone()));
        }
        device.sync().map_err(|error| error.to_string())?;
        Ok(started.elapsed().as_nanos() as f64)
    }

    fn result(&mut self) -> Result<Vec<f32>, String> {
        let c = self.prepared()?.c.clone().ok_or_else(|| "it was not run".to_owned())?;
        let data = c.try_into_data().map_err(|error| error.to_string())?;
        data.try_into_vec_as::<f32>().map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_version_is_the_one_asked_for() {
        let manifest = include_str!("../Cargo.toml");
        assert!(manifest.contains(&format!("burn = {{ version = \"={}\"", super::VERSION)));
    }
}
