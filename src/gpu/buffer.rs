//! Device buffers: allocation that is counted, upload and download in bounded pieces.

use super::context::{Caught, Context};
use super::error::GpuError;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Staging memory that one transfer may hold, in bytes.
const STAGING_BYTES: u64 = 64 << 20;

/// Bytes of live buffers, now and at most.
#[derive(Debug, Default)]
pub(super) struct Meter {
    allocated: AtomicU64,
    peak: AtomicU64,
}

impl Meter {
    fn add(&self, bytes: u64) {
        let now = self.allocated.fetch_add(bytes, Relaxed) + bytes;
        self.peak.fetch_max(now, Relaxed);
    }
}

#[derive(Debug)]
struct Allocation {
    raw: wgpu::Buffer,
    bytes: u64,
    meter: Arc<Meter>,
}

impl Drop for Allocation {
    fn drop(&mut self) {
        self.meter.allocated.fetch_sub(self.bytes, Relaxed);
    }
}

/// A buffer on a device; clones are the same buffer, which lives while one of them or a command
/// that uses it does.
#[derive(Clone, Debug)]
pub struct Buffer(Arc<Allocation>);

impl Buffer {
    /// Its size: what was asked for, rounded up to 16 bytes.
    pub fn bytes(&self) -> u64 {
        self.0.bytes
    }

    pub(super) fn raw(&self) -> &wgpu::Buffer {
        &self.0.raw
    }

    /// Whether both are one buffer.
    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// Equally long records in one uniform buffer, each bound alone: the parameters of the dispatches
/// of a submission, written once.
#[derive(Clone, Debug)]
pub struct Uniforms {
    buffer: Buffer,
    record_bytes: u64,
    stride_bytes: u64,
    count: usize,
}

impl Uniforms {
    /// Number of records.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is no record.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The binding of record `index`, if there is one.
    pub(super) fn binding(&self, index: usize) -> Option<wgpu::BufferBinding<'_>> {
        (index < self.count).then(|| wgpu::BufferBinding {
            buffer: self.buffer.raw(),
            offset: index as u64 * self.stride_bytes,
            size: wgpu::BufferSize::new(self.record_bytes),
        })
    }
}

impl Context {
    /// A zeroed storage buffer of at least `bytes`, rounded up to 16 bytes (and at least 16).
    ///
    /// # Errors
    /// [`GpuError::OverLimit`] where one binding or one buffer of the device cannot be so large,
    /// [`GpuError::OutOfMemory`] where its memory is full.
    pub fn buffer(&self, label: &str, bytes: u64) -> Result<Buffer, GpuError> {
        use wgpu::BufferUsages as Usage;
        let what = format!("buffer {label} (bytes)");
        let limit = self.info.max_buffer_bytes.min(self.info.max_binding_bytes);
        let usage = Usage::STORAGE | Usage::COPY_SRC | Usage::COPY_DST;
        self.allocate(what, bytes, limit, usage)
    }

    /// Uniform records of `record_bytes` each, one after the other in `records`.
    ///
    /// # Errors
    /// As [`Context::buffer`]; [`GpuError::Invalid`] where `records` is no whole number of records.
    pub fn uniforms(
        &self,
        label: &str,
        record_bytes: usize,
        records: &[u8],
    ) -> Result<Uniforms, GpuError> {
        if record_bytes == 0 || records.is_empty() || !records.len().is_multiple_of(record_bytes) {
            return Err(GpuError::Invalid {
                operation: format!("uniforms {label}"),
                reason: format!("{} bytes are no records of {record_bytes}", records.len()),
            });
        }
        let limits = self.device().limits();
        let limit = limits.max_uniform_buffer_binding_size;
        if record_bytes as u64 > limit {
            let what = format!("a record of uniforms {label} (bytes)");
            return Err(GpuError::OverLimit { what, asked: record_bytes as u64, limit });
        }
        // WGSL rounds the size of a uniform struct up to 16 bytes: a binding may not be shorter.
        let size = record_bytes.next_multiple_of(16);
        let alignment = limits.min_uniform_buffer_offset_alignment.max(1) as usize;
        let stride = size.next_multiple_of(alignment);
        let count = records.len() / record_bytes;
        let mut padded = vec![0; stride * count];
        for (slot, record) in
            padded.chunks_exact_mut(stride).zip(records.chunks_exact(record_bytes))
        {
            slot[..record_bytes].copy_from_slice(record);
        }
        let usage = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
        let what = format!("uniforms {label} (bytes)");
        let buffer = self.allocate(what, padded.len() as u64, self.info.max_buffer_bytes, usage)?;
        self.upload(&buffer, &padded)?;
        Ok(Uniforms { buffer, record_bytes: size as u64, stride_bytes: stride as u64, count })
    }

    fn allocate(
        &self,
        what: String,
        bytes: u64,
        limit: u64,
        usage: wgpu::BufferUsages,
    ) -> Result<Buffer, GpuError> {
        let bytes = bytes.max(1).checked_next_multiple_of(16).unwrap_or(u64::MAX);
        if bytes > limit {
            return Err(GpuError::OverLimit { what, asked: bytes, limit });
        }
        let descriptor = wgpu::BufferDescriptor {
            label: Some(&what),
            size: bytes,
            usage,
            mapped_at_creation: false,
        };
        let raw =
            self.scoped(|| self.device().create_buffer(&descriptor)).map_err(
                |caught| match caught {
                    Caught::OutOfMemory => GpuError::OutOfMemory { what: what.clone(), bytes },
                    other => other.during(&what),
                },
            )?;
        self.meter().add(bytes);
        Ok(Buffer(Arc::new(Allocation { raw, bytes, meter: self.meter().clone() })))
    }

    /// Writes `data` to the start of a buffer.
    ///
    /// # Errors
    /// [`GpuError::Invalid`] where `data` is longer than the buffer.
    pub fn upload(&self, buffer: &Buffer, data: &[u8]) -> Result<(), GpuError> {
        check_range("upload", buffer, 0, data.len() as u64)?;
        for (index, piece) in data.chunks(STAGING_BYTES as usize).enumerate() {
            let offset = index as u64 * STAGING_BYTES;
            // Copies are of whole words: the last piece may end within one.
            let whole = piece.len() & !3;
            self.scoped(|| {
                self.queue().write_buffer(buffer.raw(), offset, &piece[..whole]);
                if whole < piece.len() {
                    let mut word = [0; 4];
                    word[..piece.len() - whole].copy_from_slice(&piece[whole..]);
                    self.queue().write_buffer(buffer.raw(), offset + whole as u64, &word);
                }
                self.queue().submit([])
            })
            .map_err(|caught| caught.during("upload"))?;
            self.wait()?;
        }
        Ok(())
    }

    /// Reads `bytes` from `offset` of a buffer, after everything submitted so far.
    ///
    /// # Errors
    /// [`GpuError::Invalid`] where the range leaves the buffer.
    pub fn read(&self, buffer: &Buffer, offset: u64, bytes: u64) -> Result<Vec<u8>, GpuError> {
        check_range("read", buffer, offset, bytes)?;
        let (start, end) = (offset & !3, (offset + bytes).next_multiple_of(4));
        let mut data = Vec::with_capacity((end - start) as usize);
        if bytes == 0 {
            return Ok(data);
        }
        let staging_bytes = (end - start).min(STAGING_BYTES);
        let staging = self.staging(staging_bytes)?;
        let mut at = start;
        while at < end {
            let size = (end - at).min(STAGING_BYTES);
            self.scoped(|| {
                let mut encoder = self.device().create_command_encoder(&Default::default());
                encoder.copy_buffer_to_buffer(buffer.raw(), at, &staging, 0, size);
                self.queue().submit([encoder.finish()])
            })
            .map_err(|caught| caught.during("read"))?;
            self.map(&staging, size, &mut data)?;
            at += size;
        }
        data.drain(..(offset - start) as usize);
        data.truncate(bytes as usize);
        Ok(data)
    }

    /// A buffer that the host can read; not counted, since it belongs to no problem.
    pub(super) fn staging(&self, bytes: u64) -> Result<wgpu::Buffer, GpuError> {
        let descriptor = wgpu::BufferDescriptor {
            label: Some("staging"),
            size: bytes,
            usage: wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ,
            mapped_at_creation: false,
        };
        self.scoped(|| self.device().create_buffer(&descriptor)).map_err(|caught| match caught {
            Caught::OutOfMemory => GpuError::OutOfMemory { what: "staging".into(), bytes },
            other => other.during("staging"),
        })
    }

    /// Appends the first `bytes` of a staging buffer to `data`.
    pub(super) fn map(
        &self,
        staging: &wgpu::Buffer,
        bytes: u64,
        data: &mut Vec<u8>,
    ) -> Result<(), GpuError> {
        let refused = |reason: String| GpuError::Invalid { operation: "map".into(), reason };
        let (sender, receiver) = std::sync::mpsc::channel();
        self.scoped(|| {
            staging.map_async(wgpu::MapMode::Read, ..bytes, move |result| {
                // The receiver is gone only where waiting failed, which is reported there.
                let _ = sender.send(result);
            });
        })
        .map_err(|caught| caught.during("map"))?;
        self.wait()?;
        receiver
            .try_recv()
            .map_err(|error| refused(error.to_string()))?
            .map_err(|error| refused(error.to_string()))?;
        let view = staging.get_mapped_range(..bytes).map_err(|error| refused(error.to_string()))?;
        data.extend_from_slice(&view);
        drop(view);
        staging.unmap();
        Ok(())
    }

    /// Bytes of the buffers alive now (uniforms included, staging not).
    pub fn allocated_bytes(&self) -> u64 {
        self.meter().allocated.load(Relaxed)
    }

    /// The most that [`Context::allocated_bytes`] has been since [`Context::reset_peak`].
    pub fn peak_bytes(&self) -> u64 {
        self.meter().peak.load(Relaxed)
    }

    /// Starts a new peak at what is allocated now.
    pub fn reset_peak(&self) {
        self.meter().peak.store(self.allocated_bytes(), Relaxed);
    }
}

fn check_range(what: &str, buffer: &Buffer, offset: u64, bytes: u64) -> Result<(), GpuError> {
    if offset.checked_add(bytes).is_some_and(|end| end <= buffer.bytes()) {
        return Ok(());
    }
    Err(GpuError::Invalid {
        operation: what.into(),
        reason: format!("{bytes} bytes at {offset} leave a buffer of {} bytes", buffer.bytes()),
    })
}
