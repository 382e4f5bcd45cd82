//! WGSL sources, embedded in the binary, and how several make one kernel.

use sha2::{Digest, Sha256};

use crate::hexadecimal::hexadecimal;

/// One WGSL file, embedded by [`wgsl!`](crate::wgsl).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    /// Path below `kernels/`.
    pub path: &'static str,
    /// Its text.
    pub text: &'static str,
}

/// Embeds a file of `kernels/` as a [`Source`], for example `wgsl!("shared/philox.wgsl")`.
#[macro_export]
macro_rules! wgsl {
    ($path:literal) => {
        $crate::gpu::Source {
            path: $path,
            text: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/kernels/", $path)),
        }
    };
}

/// A whole WGSL module and its identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Composed {
    /// The text handed to wgpu.
    pub wgsl: String,
    /// SHA-256 of that text, in lower-case hexadecimal.
    pub sha256: String,
}

/// Joins files in their order, each behind a `// ---- path` line. Directives (`enable …;`, one a
/// line) move to the top, once each, because WGSL wants them before every declaration.
pub fn compose(files: &[Source]) -> Composed {
    compose_with("", files)
}

/// The same, with declarations that are in no file, such as a kernel's parameters, before the first.
pub fn compose_with(declarations: &str, files: &[Source]) -> Composed {
    let mut directives: Vec<&str> = Vec::new();
    let mut body = String::new();
    for file in files {
        body.push_str("// ---- ");
        body.push_str(file.path);
        body.push('\n');
        for line in file.text.lines() {
            if is_directive(line) {
                if !directives.contains(&line.trim()) {
                    directives.push(line.trim());
                }
            } else {
                body.push_str(line);
                body.push('\n');
            }
        }
    }
    let mut wgsl = String::with_capacity(body.len() + declarations.len() + 64);
    for directive in directives {
        wgsl.push_str(directive);
        wgsl.push('\n');
    }
    wgsl.push_str(declarations);
    wgsl.push_str(&body);
    let sha256 = hexadecimal(&Sha256::digest(wgsl.as_bytes()));
    Composed { wgsl, sha256 }
}

fn is_directive(line: &str) -> bool {
    let line = line.trim_start();
    ["enable ", "requires ", "diagnostic("].iter().any(|word| line.starts_with(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Source = Source { path: "a.wgsl", text: "enable f16;\nfn a() -> f16 { return 1h; }" };
    const B: Source = Source { path: "b.wgsl", text: "// b\n  enable f16;\nfn b() {}\n" };

    #[test]
    fn directives_are_hoisted_once() {
        let composed = compose(&[A, B]);
        let expected = "enable f16;\n// ---- a.wgsl\nfn a() -> f16 { return 1h; }\n\
                        // ---- b.wgsl\n// b\nfn b() {}\n";
        assert_eq!(composed.wgsl, expected);
    }

    #[test]
    fn declarations_come_behind_directives() {
        let composed = compose_with("const ROWS: u32 = 8u;\n", &[A]);
        let expected = "enable f16;\nconst ROWS: u32 = 8u;\n// ---- a.wgsl\n\
                        fn a() -> f16 { return 1h; }\n";
        assert_eq!(composed.wgsl, expected);
        assert_ne!(composed.sha256, compose(&[A]).sha256);
    }

    #[test]
    fn identity_is_the_sha256_of_the_text() {
        // FIPS 180-2's digest of the empty message.
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(compose(&[]).sha256, empty);
        assert_ne!(compose(&[A]).sha256, compose(&[A, B]).sha256);
    }

    #[test]
    fn macro_embeds_a_file_under_its_relative_path() {
        let source = crate::wgsl!("shared/philox.wgsl");
        assert_eq!(source.path, "shared/philox.wgsl");
        assert!(source.text.contains("fn philox4x32"));
    }

    #[test]
    fn probes_are_valid_wgsl() {
        use naga::valid::{Capabilities, ValidationFlags, Validator};
        for probe in crate::gpu::PROBES {
            let module = naga::front::wgsl::parse_str(&compose(&[probe]).wgsl)
                .unwrap_or_else(|error| panic!("{}: {error}", probe.path));
            let f16 = Capabilities::SHADER_FLOAT16 | Capabilities::SHADER_FLOAT16_IN_FLOAT32;
            Validator::new(ValidationFlags::all(), f16)
                .validate(&module)
                .unwrap_or_else(|error| panic!("{}: {error}", probe.path));
        }
    }
}
