//! What a peer's child process is asked to multiply.
//!
//! A job is a folder. `job.json` is a [`Job`]; a child of this program draws the same problem by
//! its seed. Another program finds the operands in `a.bin` (m×k) and `b.bin` (k×n), converted by
//! tradeoff's own rounding to their storage format: row-major, little-endian, without a header,
//! since no `.npy` file can hold bf16. Either writes its result to `c.bin` (m×n), in f32.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use half::{bf16, f16};
use serde::{Deserialize, Serialize};
use tradeoff::gpu::DeviceInfo;
use tradeoff::mirror::convert::Operands;
use tradeoff::number::{Arithmetic, Format};
use tradeoff::problem::matrix::{Distribution, MatmulProblem};

use crate::Setting;

/// Name of the job's description in its folder.
const JOB: &str = "job.json";
/// Name of the result.
const RESULT: &str = "c.bin";

/// One product on one device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// What to compute in: the name of a [`Setting`].
    pub setting: String,
    /// Rows of A and of C.
    pub m: usize,
    /// Columns of B and of C.
    pub n: usize,
    /// Columns of A, rows of B.
    pub k: usize,
    /// Seed of the problem.
    pub seed: u64,
    /// SHA-256 of the problem in f32.
    pub inputs_sha256: String,
    /// int8: value of one integer step of A times one of B; 1 for the other formats.
    pub step: f64,
    /// Name of the device in bench ids.
    pub device: String,
    /// `cpu`, `vulkan`, `gl`, `metal` or `dx12`.
    pub backend: String,
    /// Where the device sits, such as `0000:01:00.0`; empty where its driver does not say.
    pub pci_bus_id: String,
}

impl Job {
    /// The job of multiplying `problem` at `setting` on `device`.
    pub fn new(setting: Setting, problem: &MatmulProblem, device: &DeviceInfo) -> Self {
        Self {
            setting: setting.name().to_owned(),
            m: problem.m,
            n: problem.n,
            k: problem.k,
            seed: problem.seed,
            inputs_sha256: problem.sha256.clone(),
            step: 1.0,
            device: device.slug.clone(),
            backend: device.backend.clone(),
            pci_bus_id: device.pci_bus_id.clone(),
        }
    }

    /// Reads the job of a folder.
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join(JOB);
        let text = fs::read(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
        serde_json::from_slice(&text).with_context(|| format!("`{}` is no job", path.display()))
    }

    /// Writes the job to a folder.
    pub fn write(&self, folder: &Path) -> Result<()> {
        write(folder, JOB, &serde_json::to_vec(self)?)
    }

    /// Draws the problem, which must be the one that the parent has.
    pub fn problem(&self) -> Result<MatmulProblem> {
        let Self { m, n, k, seed, .. } = *self;
        let problem = MatmulProblem::generate(Distribution::Normal, m, n, k, seed)?;
        ensure!(problem.sha256 == self.inputs_sha256, "seed {seed} drew other inputs here");
        Ok(problem)
    }

    /// Reads C.
    pub fn read_result(&self, folder: &Path) -> Result<Vec<f32>> {
        let path = folder.join(RESULT);
        let bytes = fs::read(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
        let (words, rest) = bytes.as_chunks();
        let entries = self.m * self.n;
        ensure!(
            rest.is_empty() && words.len() == entries,
            "its C has {} bytes, not those of {entries} f32",
            bytes.len()
        );
        Ok(words.iter().map(|&word| f32::from_le_bytes(word)).collect())
    }
}

/// Writes C.
pub fn write_result(folder: &Path, c: &[f32]) -> Result<()> {
    let bytes: Vec<u8> = c.iter().flat_map(|x| x.to_le_bytes()).collect();
    write(folder, RESULT, &bytes)
}

/// Converts the operands to the storage format of `setting`, as tradeoff's kernels do on a device
/// that keeps to IEEE 754.
pub fn convert(setting: Setting, problem: &MatmulProblem) -> Operands {
    let precision = setting.operands();
    // No random bits: each of the settings rounds to nearest.
    Operands::convert(precision, Arithmetic::host(), &problem.a, &problem.b, [0, 0])
}

/// Writes A and B.
pub fn write_operands(folder: &Path, setting: Setting, operands: &Operands) -> Result<()> {
    let format = setting.operands().storage();
    write(folder, "a.bin", &stored(format, &operands.a)?)?;
    write(folder, "b.bin", &stored(format, &operands.b)?)
}

/// The bytes of numbers that come decoded from `format`, so that encoding them again is exact.
fn stored(format: Format, numbers: &[f32]) -> Result<Vec<u8>> {
    Ok(match format {
        Format::F32 => numbers.iter().flat_map(|x| x.to_le_bytes()).collect(),
        Format::F16 => numbers.iter().flat_map(|&x| f16::from_f32(x).to_le_bytes()).collect(),
        Format::Bf16 => numbers.iter().flat_map(|&x| bf16::from_f32(x).to_le_bytes()).collect(),
        Format::Int8 => numbers.iter().flat_map(|&x| (x as i8).to_le_bytes()).collect(),
        other => bail!("operands in {} are not for peers", other.name()),
    })
}

fn write(folder: &Path, name: &str, bytes: &[u8]) -> Result<()> {
    let path = folder.join(name);
    fs::write(&path, bytes).with_context(|| format!("cannot write `{}`", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tradeoff::number::Precision;

    fn problem() -> MatmulProblem {
        MatmulProblem::generate(Distribution::Normal, 3, 5, 7, 11).unwrap()
    }

    /// What is read back from the files is what the mirror multiplies.
    #[test]
    fn stored_operands_are_those_of_the_mirror() {
        let decode = |precision: Precision, bytes: &[u8]| -> Vec<f32> {
            let pairs = || bytes.as_chunks::<2>().0.iter();
            match precision.storage() {
                Format::F16 => pairs().map(|&x| f16::from_le_bytes(x).to_f32()).collect(),
                Format::Bf16 => pairs().map(|&x| bf16::from_le_bytes(x).to_f32()).collect(),
                Format::Int8 => bytes.iter().map(|&x| f32::from(x as i8)).collect(),
                _ => bytes.as_chunks().0.iter().map(|&x| f32::from_le_bytes(x)).collect(),
            }
        };
        let problem = problem();
        for precision in [Precision::Fp32, Precision::Fp16, Precision::Bf16, Precision::Int8] {
            let folder = tempfile::tempdir().unwrap();
            let setting = Setting::Own(precision);
            let operands = convert(setting, &problem);
            write_operands(folder.path(), setting, &operands).unwrap();
            for (name, numbers) in [("a.bin", &operands.a), ("b.bin", &operands.b)] {
                let bytes = fs::read(folder.path().join(name)).unwrap();
                assert_eq!(bytes.len() as u64, precision.storage().bytes(numbers.len() as u64));
                assert_eq!(&decode(precision, &bytes), numbers, "{precision} {name}");
            }
        }
    }

    #[test]
    fn a_job_and_its_result_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let devices = tradeoff::gpu::discover(Some("cpu")).unwrap();
        let job = Job::new(Setting::Tf32, &problem(), &devices[0].info);
        job.write(folder.path()).unwrap();
        assert_eq!(Job::read(folder.path()).unwrap(), job);
        assert_eq!(job.problem().unwrap().sha256, problem().sha256);
        let other = Job { seed: 12, ..job.clone() };
        assert!(other.problem().unwrap_err().to_string().contains("seed 12 drew other inputs"));

        let c: Vec<f32> = (0..15).map(|x| x as f32 / 3.0).collect();
        write_result(folder.path(), &c).unwrap();
        assert_eq!(job.read_result(folder.path()).unwrap(), c);
        write_result(folder.path(), &c[1..]).unwrap();
        let error = job.read_result(folder.path()).unwrap_err().to_string();
        assert!(error.contains("56 bytes") && error.contains("15 f32"), "{error}");
    }
}
