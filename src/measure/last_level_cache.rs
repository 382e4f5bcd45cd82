//! The last-level cache of the processor, as Linux lists it: what operands must outgrow to come from
//! memory.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// What it is taken to be where nothing says. Unit: bytes.
const UNKNOWN_BYTES: u64 = 64 << 20;

/// All caches of the last level together, since threads may run on every core. `root` is where the
/// system's files are, `/` but for tests. Unit: bytes.
pub(super) fn host_bytes(root: &Path) -> u64 {
    listed_bytes(root).unwrap_or(UNKNOWN_BYTES)
}

fn listed_bytes(root: &Path) -> Option<u64> {
    // A cache that several processors share is listed by each of them.
    let mut caches: BTreeMap<(u32, String), u64> = BTreeMap::new();
    for cpu in fs::read_dir(root.join("sys/devices/system/cpu")).ok()?.flatten() {
        let Ok(entries) = fs::read_dir(cpu.path().join("cache")) else { continue };
        for entry in entries.flatten() {
            let word = |file| {
                let text = fs::read_to_string(entry.path().join(file)).ok()?;
                Some(text.trim().to_owned())
            };
            let level = word("level").and_then(|level| level.parse().ok());
            let bytes = word("size").and_then(|size| parse_size(&size));
            let of_data = word("type").is_none_or(|kind| kind != "Instruction");
            if let (Some(level), Some(bytes), Some(shared), true) =
                (level, bytes, word("shared_cpu_list"), of_data)
            {
                caches.insert((level, shared), bytes);
            }
        }
    }
    let last = caches.keys().map(|(level, _)| *level).max()?;
    let sizes = caches.iter().filter(|((level, _), _)| *level == last).map(|(_, bytes)| *bytes);
    Some(sizes.fold(0, u64::saturating_add)).filter(|&bytes| bytes > 0)
}

/// `32768K`, `32M`.
fn parse_size(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "" => 1,
        "K" => 1 << 10,
        "M" => 1 << 20,
        "G" => 1 << 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_level_is_summed_over_its_caches() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(host_bytes(root.path()), UNKNOWN_BYTES, "no such files");
        let caches = [
            ("cpu0", "index0", "1", "32K", "Data", "0"),
            ("cpu0", "index3", "3", "16384K", "Unified", "0-1"),
            ("cpu1", "index3", "3", "16384K", "Unified", "0-1"),
            ("cpu2", "index3", "3", "16M", "Unified", "2-3"),
            ("cpu2", "index4", "4", "8M", "Instruction", "2-3"),
            ("cpu3", "index2", "2", "99999K", "Unified", "3"),
        ];
        for (cpu, index, level, size, kind, shared) in caches {
            let folder =
                root.path().join("sys/devices/system/cpu").join(cpu).join("cache").join(index);
            fs::create_dir_all(&folder).unwrap();
            for (file, text) in
                [("level", level), ("size", size), ("type", kind), ("shared_cpu_list", shared)]
            {
                fs::write(folder.join(file), format!("{text}\n")).unwrap();
            }
        }
        assert_eq!(host_bytes(root.path()), 32 << 20);
    }

    #[test]
    fn sizes_have_a_unit_or_none() {
        assert_eq!(
            ["48K", "32M", "1G", "512"].map(parse_size).map(Option::unwrap),
            [48 << 10, 32 << 20, 1 << 30, 512]
        );
        for bad in ["", "many", "12x", "-1K", "99999999999999999999K", "99999999999G"] {
            assert_eq!(parse_size(bad), None, "{bad}");
        }
    }
}
