//! Commands of the conversions to fp8, to the Microscaling formats and to int4.

use super::{Builder, Converted};
use crate::gpu::{Buffer, GpuError};
use crate::number::Format;
use crate::number::block::BLOCK;
use crate::number::philox::Stream;
use crate::workload::matmul::Shape;

/// An operand to be converted.
struct Operand<'a> {
    label: &'static str,
    from: &'a Buffer,
    /// Rows of A or columns of B in one product.
    vectors: usize,
    /// Rows of all products as they are stored, and numbers to each.
    stored: [usize; 2],
    transposed: bool,
    stream: Stream,
}

impl Builder<'_> {
    fn narrow_operands<'a>(&self, a: &'a Buffer, b: &'a Buffer) -> [Operand<'a>; 2] {
        let Shape { m, n, layout, .. } = self.shape;
        [
            Operand {
                label: "A converted",
                from: a,
                vectors: m,
                stored: [self.shape.stored_rows_of_a(), self.shape.lda()],
                transposed: layout.a_transposed(),
                stream: Stream::ConvertA,
            },
            Operand {
                label: "B converted",
                from: b,
                vectors: n,
                stored: [self.shape.stored_rows_of_b(), self.shape.ldb()],
                transposed: layout.b_transposed(),
                stream: Stream::ConvertB,
            },
        ]
    }

    /// One kernel over each operand, to an 8-bit format whose rounding may draw random bits.
    pub(super) fn bytes(
        &self,
        a: &Buffer,
        b: &Buffer,
        compile_ns: &mut f64,
    ) -> Result<Converted, GpuError> {
        let mut commands = vec![];
        let mut convert = |operand: Operand<'_>| {
            let Operand { label, from, stored: [rows, ld], transposed, stream, .. } = operand;
            // Rows to a matrix as it is multiplied: those of A, or of B with its padding.
            let across = if stream == Stream::ConvertA { self.shape.m } else { self.shape.ldk() };
            let more = [
                ("LD", ld as f64),
                ("STREAM", f64::from(stream as u32)),
                ("TRANSPOSED", f64::from(u8::from(transposed))),
                ("SLAB", (rows / self.shape.batch) as f64),
                ("ACROSS", across as f64),
            ];
            let constants = [&self.conversion_constants()[..], &more].concat();
            let to = self.context.buffer(label, (rows * ld) as u64)?;
            commands.push(self.by_fours((from, &to), rows * ld / 4, constants, compile_ns)?);
            Ok::<_, GpuError>(to)
        };
        let [of_a, of_b] = self.narrow_operands(a, b);
        let operands = [convert(of_a)?, convert(of_b)?];
        Ok((operands, None, commands))
    }

    /// One kernel over each operand that finds the scales of its blocks and rounds its numbers, and lays
    /// them out as they are multiplied. The second pair of buffers holds the scales.
    pub(super) fn blocks(
        &self,
        format: Format,
        a: &Buffer,
        b: &Buffer,
        compile_ns: &mut f64,
    ) -> Result<Converted, GpuError> {
        let sources = &self.source.conversion[0];
        let converted = self.shape.converted(self.source.precision);
        let blocks = self.shape.ldk() / BLOCK;
        let groups = |x: usize, y: usize| [x.div_ceil(8) as u32, y.div_ceil(8) as u32, 1];
        let mut commands = vec![];
        let mut convert = |operand: Operand<'_>| {
            let Operand { label, from, vectors, stored: [rows, ld], transposed, stream } = operand;
            let of_b = stream == Stream::ConvertB;
            // Of A the rows that there are, of B the columns with their padding.
            let (numbers, written) = if of_b {
                (converted.stored_numbers_of_b(), converted.ldb())
            } else {
                (converted.stored_numbers_of_a(), vectors)
            };
            let elements = numbers * u64::from(format.bits()) / 8;
            let to = self.context.buffer(label, elements)?;
            let of_blocks = format.bytes(numbers) - elements;
            let scales = self.context.buffer("scales", of_blocks.next_multiple_of(4))?;
            // Rows of A, and of B stored transposed, go along k.
            let (entry, grid) = if of_b == transposed {
                ("along", groups(blocks, rows))
            } else {
                ("across", groups(ld / 4, self.shape.batch * blocks))
            };
            let more = [
                ("SOURCE_LD", ld as f64),
                ("OF_B", f64::from(u8::from(of_b))),
                ("VECTORS", vectors as f64),
                ("WRITTEN", written as f64),
            ];
            let constants = [&self.conversion_constants()[..], &more].concat();
            let pipeline = self.pipeline(sources, entry, &constants, compile_ns)?;
            commands.push(self.context.clear(&scales));
            let bindings = [(0, from), (1, &to), (2, &scales)];
            commands.push(self.context.dispatch(&pipeline, &bindings, grid)?);
            Ok::<_, GpuError>((to, scales))
        };
        let [of_a, of_b] = self.narrow_operands(a, b);
        let (to_a, scales_a) = convert(of_a)?;
        let (to_b, scales_b) = convert(of_b)?;
        Ok(([to_a, to_b], Some([scales_a, scales_b]), commands))
    }
}
