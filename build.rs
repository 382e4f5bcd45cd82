//! Compiles in where the program comes from: the git revision and whether tracked files differ
//! from it, rustc, the build profile, and the version of wgpu.
//!
//! None of it can make the build fail: what is not known is left out, and the crate then says
//! `unknown`.

use std::path::Path;
use std::process::Command;
use std::{env, fs};

use vergen_gitcl::{Emitter, Gitcl, Rustc};

/// What is compiled in. A change here can make the tree dirty, so the revision is looked up again.
const COMPILED: [&str; 6] = ["build.rs", "Cargo.toml", "Cargo.lock", "src", "kernels", "benches"];

fn main() {
    for path in COMPILED.into_iter().filter(|path| Path::new(path).exists()) {
        println!("cargo:rerun-if-changed={path}");
    }
    if let Err(error) = emit_versions() {
        println!("cargo:warning=the git revision or rustc is not recorded: {error}");
    }
    let variable = |name| env::var(name).unwrap_or_else(|_| "unknown".into());
    // Not `TRADEOFF_*`: cargo sets these for `cargo bench` too, and those steer a run.
    println!("cargo:rustc-env=BUILT_WITH_WGPU={}", wgpu_version());
    println!("cargo:rustc-env=BUILT_FOR_TARGET={}", variable("TARGET"));
    println!(
        "cargo:rustc-env=BUILT_WITH_PROFILE={}, opt-level {}",
        variable("PROFILE"),
        variable("OPT_LEVEL")
    );
}

/// Emits `VERGEN_GIT_SHA`, `VERGEN_GIT_DIRTY` and `VERGEN_RUSTC_SEMVER`.
fn emit_versions() -> Result<(), Box<dyn std::error::Error>> {
    let mut emitter = Emitter::default();
    emitter.quiet();
    emitter.add_instructions(&Rustc::builder().semver(true).build())?;
    // A copy that some other repository happens to contain has no revision of its own.
    if git(&["ls-files", "--error-unmatch", "Cargo.toml"]).is_some() {
        // Untracked files (notes, results) do not count: a source file that is compiled in is
        // named by a tracked one.
        emitter.add_instructions(&Gitcl::builder().sha(false).dirty(false).build())?;
        // Every commit and checkout is logged here. The branch's own file, which vergen watches,
        // is absent while the branch is packed, and lies elsewhere in a linked worktree.
        if let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"])
            && Path::new(&log).exists()
        {
            println!("cargo:rerun-if-changed={log}");
        }
    }
    emitter.emit()?;
    Ok(())
}

/// What git prints, or `None` without git, outside a checkout, or when git refuses.
fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

/// wgpu's version in Cargo.lock; the newest where several are locked.
fn wgpu_version() -> String {
    let lock = fs::read_to_string("Cargo.lock").unwrap_or_default();
    let mut lines = lock.lines();
    let mut version = "unknown".to_owned();
    while lines.by_ref().any(|line| line == "name = \"wgpu\"") {
        let next = lines.next().and_then(|line| line.strip_prefix("version = \""));
        if let Some(text) = next.and_then(|text| text.strip_suffix('"')) {
            version = text.to_owned();
        }
    }
    version
}
