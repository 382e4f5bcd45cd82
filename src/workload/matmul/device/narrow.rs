//! Commands of the conversions to fp8, to the Microscaling formats and to int4.

use super::{Builder, Converted, GRID_ROW};
use crate::gpu::{Buffer, GpuError};
use crate::number::Format;
use crate::number::block::BLOCK;
use crate::number::philox::Stream;

impl Builder<'_> {
    /// One kernel over each operand, to an 8-bit format whose rounding may draw random bits.
    pub(super) fn bytes(
        &self,
        a: &Buffer,
        b: &Buffer,
        compile_ns: &mut f64,
    ) -> Result<Converted, GpuError> {
        let sources = &self.source.conversion[0];
        let (lda, ldb) = (self.shape.lda(), self.shape.ldb());
        let mut commands = vec![];
        let mut convert = |label, from: &Buffer, rows: usize, ld: usize, stream: Stream| {
            let to = self.context.buffer(label, (rows * ld) as u64)?;
            let count = rows * ld / 4;
            let mut constants = self.conversion_constants();
            constants.extend([
                ("COUNT", count as f64),
                ("STRIDE", GRID_ROW as f64),
                ("LD", ld as f64),
                ("STREAM", f64::from(stream as u32)),
            ]);
            let pipeline = self.pipeline(sources, "convert", &constants, compile_ns)?;
            let columns = count.min(GRID_ROW).div_ceil(64) as u32;
            let groups = [columns, count.div_ceil(GRID_ROW) as u32, 1];
            commands.push(self.context.dispatch(&pipeline, &[(0, from), (1, &to)], groups)?);
            Ok::<_, GpuError>(to)
        };
        let operands = [
            convert("A converted", a, self.shape.m, lda, Stream::ConvertA)?,
            convert("B converted", b, lda, ldb, Stream::ConvertB)?,
        ];
        Ok((operands, None, commands))
    }

    /// One kernel over each operand that finds the scales of its blocks and rounds its numbers. The
    /// second pair of buffers holds the scales.
    pub(super) fn blocks(
        &self,
        format: Format,
        a: &Buffer,
        b: &Buffer,
        compile_ns: &mut f64,
    ) -> Result<Converted, GpuError> {
        let sources = &self.source.conversion[0];
        let (m, lda, ldb) = (self.shape.m, self.shape.lda(), self.shape.ldb());
        let blocks = lda / BLOCK;
        let groups = |x: usize, y: usize| [x.div_ceil(8) as u32, y.div_ceil(8) as u32, 1];
        let mut commands = vec![];
        let mut convert = |label, from, entry, numbers: usize, grid| {
            let elements = (numbers as u64 * u64::from(format.bits())) / 8;
            let to = self.context.buffer(label, elements)?;
            let of_blocks = format.bytes(numbers as u64) - elements;
            let scales = self.context.buffer("scales", of_blocks.next_multiple_of(4))?;
            let constants = self.conversion_constants();
            let pipeline = self.pipeline(sources, entry, &constants, compile_ns)?;
            commands.push(self.context.clear(&scales));
            let bindings = [(0, from), (1, &to), (2, &scales)];
            commands.push(self.context.dispatch(&pipeline, &bindings, grid)?);
            Ok::<_, GpuError>((to, scales))
        };
        let (to_a, scales_a) = convert("A converted", a, "of_a", m * lda, groups(blocks, m))?;
        let (to_b, scales_b) =
            convert("B converted", b, "of_b", lda * ldb, groups(ldb / 4, blocks))?;
        Ok(([to_a, to_b], Some([scales_a, scales_b]), commands))
    }
}
