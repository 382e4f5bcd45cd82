//! The memory of the host.

/// Host memory that a problem may take, in bytes: three quarters of what is free.
pub fn available_host_bytes() -> u64 {
    let kind = sysinfo::MemoryRefreshKind::nothing().with_ram();
    let what = sysinfo::RefreshKind::nothing().with_memory(kind);
    match sysinfo::System::new_with_specifics(what).map(|system| system.available_memory()) {
        Ok(bytes) if bytes > 0 => bytes / 4 * 3,
        _ => u64::MAX,
    }
}
