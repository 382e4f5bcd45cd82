//! What can go wrong with a device, each in one line.

/// A device could not be opened or did not do what it was asked.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum GpuError {
    /// The CPU is a candidate, but has no context.
    #[error("{device} is no GPU adapter and cannot be opened as one")]
    NotAGpu {
        /// Slug of the candidate.
        device: String,
    },
    /// The driver refused a device.
    #[error("{device} cannot be opened: {reason}")]
    Open {
        /// Slug of the candidate.
        device: String,
        /// The driver's words.
        reason: String,
    },
    /// More was asked for than the device can do.
    #[error("{what} needs {asked}, over the device's limit of {limit}; choose a smaller shape")]
    OverLimit {
        /// What was asked for, with its unit.
        what: String,
        /// How much of it.
        asked: u64,
        /// How much of it the device allows.
        limit: u64,
    },
    /// The device's memory is full.
    #[error("no device memory for {what} ({bytes} bytes); choose a smaller shape")]
    OutOfMemory {
        /// What the memory was for.
        what: String,
        /// Its size.
        bytes: u64,
    },
    /// The WGSL is invalid, or the driver refused it.
    #[error("kernel entry {entry} does not compile: {reason}")]
    Compile {
        /// The entry point.
        entry: String,
        /// The compiler's words.
        reason: String,
    },
    /// A call that the device or wgpu refused.
    #[error("{operation} refused: {reason}")]
    Invalid {
        /// What was tried.
        operation: String,
        /// Why it was refused.
        reason: String,
    },
    /// The device is gone; nothing more can be done with its context.
    #[error("device lost: {reason}")]
    Lost {
        /// The driver's words.
        reason: String,
    },
    /// A submission did not end.
    #[error("no answer from the device in {seconds} s; choose a smaller shape or reset the driver")]
    Timeout {
        /// How long was waited.
        seconds: u64,
    },
}

/// A variable or option that selects devices names none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectionError {
    /// An entry of `WGPU_BACKEND` is no backend.
    #[error("WGPU_BACKEND={entry:?} is no backend; valid: vulkan, gl, metal, dx12")]
    Backend {
        /// The entry.
        entry: String,
    },
    /// `WGPU_ADAPTER_NAME` is part of no adapter's name.
    #[error("WGPU_ADAPTER_NAME={entry:?} matches no adapter; found: {found}")]
    Adapter {
        /// The variable's value.
        entry: String,
        /// Names of the adapters found.
        found: String,
    },
    /// An entry of `TRADEOFF_DEVICES` matches no device.
    #[error("no device matches {entry:?}; valid: all, an index, or part of a name: {valid}")]
    Device {
        /// The entry.
        entry: String,
        /// Index and slug of every device that could be selected.
        valid: String,
    },
}

/// `text` on one line, without the frames that a compiler draws around a source line.
pub(super) fn one_line(text: &str) -> String {
    let frame = |word: &&str| !word.chars().all(|c| ('\u{2500}'..='\u{257f}').contains(&c));
    let words: Vec<&str> = text.split_whitespace().filter(frame).collect();
    let line = words.join(" ");
    line.strip_prefix("Validation Error Caused by: ").unwrap_or(&line).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_one_line() {
        let naga = "Validation Error\n\nCaused by:\n  In f\n    ┌─ wgsl:1:2\n    │\n  1 │ x\n";
        assert_eq!(one_line(naga), "In f wgsl:1:2 1 x");
    }
}
