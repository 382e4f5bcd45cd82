//! Where a run comes from: machine, program, and what steered it. Written as `run.json`.

use std::collections::BTreeMap;
use std::env;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sysinfo::{CpuRefreshKind, MemoryRefreshKind, RefreshKind, System};

use super::plan::{Resumption, RunPlan};
use super::row::{Record, SCHEMA_VERSION};

/// Variables besides `TRADEOFF_*` and `WGPU_*` that change what is measured: the threads of the
/// CPU mirror and of Mesa's software rasteriser, and the driver that Mesa picks.
const STEERING: [&str; 4] =
    ["RAYON_NUM_THREADS", "LP_NUM_THREADS", "GALLIUM_DRIVER", "LIBGL_ALWAYS_SOFTWARE"];

/// What stands in place of a path.
const HIDDEN: &str = "<path>";

/// Where a run comes from. A text that could not be found out is `unknown`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Provenance {
    /// Version of the schema of the run's tables.
    pub schema_version: u32,
    /// Name of the run's folder.
    pub run_id: String,
    /// When the run started: RFC 3339, UTC, to the second.
    pub utc: String,
    /// Name of the machine; `None` in a published run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Operating system and its version.
    pub os: String,
    /// Kernel and its version.
    pub kernel: String,
    /// Name that the processor gives itself.
    pub cpu: String,
    /// Cores of the processor.
    pub physical_cores: Option<usize>,
    /// Hardware threads that the operating system sees.
    pub logical_cores: Option<usize>,
    /// Size of the main memory, in bytes.
    pub memory_bytes: Option<u64>,
    /// Version of this crate.
    pub crate_version: String,
    /// Version of wgpu that was locked when the program was built.
    pub wgpu_version: String,
    /// Version of the compiler.
    pub rustc: String,
    /// Target triple that the program was built for.
    pub target: String,
    /// Cargo profile and optimisation level that the program was built with.
    pub build_profile: String,
    /// Commit that the program was built from.
    pub git_revision: String,
    /// Whether tracked files differed from that commit; `None` if unknown.
    pub git_dirty: Option<bool>,
    /// Environment variables that steer a run, paths in their values replaced by `<path>`.
    pub environment: BTreeMap<String, String>,
    /// Arguments of the command line, without the program's name, paths replaced by `<path>`.
    pub arguments: Vec<String>,
    /// Every device found, as the gpu module describes it.
    pub devices: serde_json::Value,
    /// Fingerprint of each device that was opened, by its name in bench ids: what its arithmetic does, the
    /// hash that its rows have, and as `summation_orders`, which the hash is not of, in which order each
    /// kernel sums that was measured.
    pub fingerprints: serde_json::Value,
    /// Roofline of each device that was measured, by its name in bench ids.
    pub rooflines: serde_json::Value,
    /// What a run of `tradeoff run` set out to measure: its selection, how a case is sampled, the
    /// shard, and the ids of all cases.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<RunPlan>,
    /// The ids of the cases that were sampled in turn, a list for each such group; of a case in
    /// several lists the last one holds.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub interleaved: Vec<Vec<String>>,
    /// Each time the run was resumed: when, on which other machine, and what had changed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resumed: Vec<Resumption>,
    /// The runs that were merged into this one; the other keys hold what is the same in all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Provenance>,
}

impl Provenance {
    /// Name of the file in the folder of a run.
    pub const FILE: &'static str = "run.json";

    /// Looks at this machine, this program, its command line and its environment. The run's id
    /// comes with its folder; devices, fingerprints and rooflines come with the devices.
    pub fn collect() -> Self {
        let what = RefreshKind::nothing()
            .with_cpu(CpuRefreshKind::nothing())
            .with_memory(MemoryRefreshKind::nothing().with_ram());
        let system = System::new_with_specifics(what).ok();
        let cpus = system.as_ref().map(System::cpus).unwrap_or_default();
        Self {
            schema_version: SCHEMA_VERSION,
            utc: utc_now(),
            host: System::host_name().ok(),
            os: known(System::long_os_version().ok()),
            kernel: known(System::kernel_long_version().ok()),
            cpu: known(cpus.first().map(|cpu| cpu.brand().trim().to_owned())),
            physical_cores: System::physical_core_count().ok(),
            logical_cores: Some(cpus.len()).filter(|&count| count > 0),
            memory_bytes: system.as_ref().map(System::total_memory).filter(|&bytes| bytes > 0),
            environment: steering_environment(),
            arguments: env::args_os()
                .skip(1)
                .map(|argument| without_paths(&argument.to_string_lossy()))
                .collect(),
            ..Self::of_build()
        }
    }

    /// What `build.rs` compiled in.
    fn of_build() -> Self {
        let compiled = |value: Option<&str>| known(value.map(str::to_owned));
        Self {
            crate_version: env!("CARGO_PKG_VERSION").to_owned(),
            wgpu_version: env!("BUILT_WITH_WGPU").to_owned(),
            rustc: compiled(option_env!("VERGEN_RUSTC_SEMVER")),
            target: env!("BUILT_FOR_TARGET").to_owned(),
            build_profile: env!("BUILT_WITH_PROFILE").to_owned(),
            git_revision: compiled(option_env!("VERGEN_GIT_SHA")),
            git_dirty: option_env!("VERGEN_GIT_DIRTY").and_then(|text| text.parse().ok()),
            ..Self::default()
        }
    }

    /// A row with the columns that all rows of the run share, and nothing else, filled.
    pub fn row(&self) -> Record {
        Record {
            schema_version: SCHEMA_VERSION,
            run_id: self.run_id.clone(),
            crate_version: self.crate_version.clone(),
            wgpu_version: self.wgpu_version.clone(),
            git_revision: self.git_revision.clone(),
            git_dirty: self.git_dirty,
            rustc: self.rustc.clone(),
            os: self.os.clone(),
            cpu: self.cpu.clone(),
            ..Record::default()
        }
    }
}

/// Now, as the columns write it.
pub(crate) fn utc_now() -> String {
    Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// `unknown` also for what vergen writes where it was told to find nothing out.
fn known(text: Option<String>) -> String {
    text.filter(|text| !text.is_empty() && text != "VERGEN_IDEMPOTENT_OUTPUT")
        .unwrap_or_else(|| "unknown".to_owned())
}

fn steering_environment() -> BTreeMap<String, String> {
    env::vars_os()
        .map(|(name, value)| (name.to_string_lossy().into_owned(), value))
        .filter(|(name, _)| {
            name.starts_with("TRADEOFF_")
                || name.starts_with("WGPU_")
                || STEERING.contains(&name.as_str())
        })
        .map(|(name, value)| (name, without_paths(&value.to_string_lossy())))
        .collect()
}

/// Replaces each part of a list (`a,b`) or an assignment (`--a=b`) that has a path in it.
pub(super) fn without_paths(text: &str) -> String {
    text.split_inclusive([',', ';', '='])
        .map(|part| {
            let end = part.trim_end_matches([',', ';', '=']).len();
            let (value, separator) = part.split_at(end);
            let value = if path_in(value).is_some() { HIDDEN } else { value };
            format!("{value}{separator}")
        })
        .collect()
}

/// The first part of a text, up to a space or a quote, that looks like a path of some operating
/// system. A bench id (`matmul/fp16/…`) and a unit (`GFLOP/s`) do not; a text with a backslash
/// does, so that a doubt costs a filter and never a name.
pub(super) fn path_in(text: &str) -> Option<&str> {
    let starts = |at: usize| {
        let rest = &text[at..];
        let mut next = rest.chars();
        match (next.next(), next.next(), next.next()) {
            (Some('/'), Some(c), _) => c.is_alphanumeric() || matches!(c, '.' | '_' | '~'),
            (Some('~'), Some('/'), _) | (Some('.'), Some('/'), _) => true,
            (Some('.'), Some('.'), Some('/')) => true,
            (Some(drive), Some(':'), Some('/' | '\\')) => drive.is_ascii_alphabetic(),
            _ => rest.starts_with("file:"),
        }
    };
    let mut previous = ' ';
    for (at, character) in text.char_indices() {
        let boundary = previous.is_whitespace() || "\"'`([{<=,;:|@".contains(previous);
        if character == '\\' || (boundary && starts(at)) {
            let end = text[at..].find(|c: char| c.is_whitespace() || "\"'`".contains(c));
            let found = end.map_or(&text[at..], |end| &text[at..at + end]);
            return Some(found.trim_end_matches([':', ',', ';', ')']));
        }
        previous = character;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_seen_and_ids_are_not() {
        let paths = [
            "/home/someone/a.npy",
            "cannot open `/tmp/x`",
            "--out=/srv/a",
            "~/a.npy",
            "../a.npy",
            "./a",
            "C:\\Users\\someone",
            "d:/data/a",
            "\\\\server\\share",
            "file:///etc/hosts",
            "someone@/var",
        ];
        for text in paths {
            assert!(path_in(text).is_some(), "{text}");
        }
        let others = [
            "matmul/fp16/register_tiled/512x512x512/llvmpipe-vulkan",
            "GFLOP/s",
            "1 / 2",
            "https://example.org/a",
            "0000:01:00.0",
            "Debian GNU/Linux 12",
            "llvmpipe (LLVM 15.0.6, 256 bits)",
            ".*fp16",
            "..",
            "",
        ];
        for text in others {
            assert_eq!(path_in(text), None, "{text}");
        }
        assert_eq!(path_in("open `/tmp/x`: denied"), Some("/tmp/x"));
    }

    #[test]
    fn only_the_paths_go() {
        assert_eq!(without_paths("normal,/home/someone/a.npy,uniform"), "normal,<path>,uniform");
        assert_eq!(without_paths("--out=/srv/results"), "--out=<path>");
        assert_eq!(without_paths("matmul/fp16"), "matmul/fp16");
        assert_eq!(without_paths("512,1,1"), "512,1,1");
    }

    #[test]
    fn this_machine_and_build_are_described() {
        let provenance = Provenance::collect();
        assert_eq!(provenance.crate_version, env!("CARGO_PKG_VERSION"));
        assert!(provenance.logical_cores.is_some_and(|count| count > 0), "{provenance:?}");
        assert!(provenance.memory_bytes.is_some_and(|bytes| bytes > 0), "{provenance:?}");
        assert!(provenance.wgpu_version.starts_with("30."), "{}", provenance.wgpu_version);
        assert_ne!(provenance.rustc, "unknown");
        let utc: Timestamp = provenance.utc.parse().unwrap();
        assert!((Timestamp::now().as_second() - utc.as_second()).abs() < 60);
    }

    #[test]
    fn what_is_not_known_is_said_so() {
        assert_eq!(known(None), "unknown");
        assert_eq!(known(Some("VERGEN_IDEMPOTENT_OUTPUT".into())), "unknown");
        assert_eq!(known(Some("1.95.0".into())), "1.95.0");
    }
}
