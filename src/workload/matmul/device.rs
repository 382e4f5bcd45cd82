//! A matrix product on a GPU: buffers, and the commands of its conversion and its product.

mod narrow;

use super::files::is_sr;
use super::kernels::KernelSource;
use super::{Shape, output_format};
use crate::gpu::{Buffer, Command, Context, GpuError, Pipeline, compose};
use crate::mirror::convert::Key;
use crate::number::{Format, Rounding, Scaling, round};
use crate::problem::matrix::Matrix;

/// Threads a row of the 2-D grid of an elementwise kernel.
const GRID_ROW: usize = 64 * 1024;

/// A prepared product: operands uploaded in f32, all pipelines compiled.
pub struct GpuMatmul {
    shape: Shape,
    output: Format,
    c: Buffer,
    /// The converted operands, as the product reads them.
    operands: [Buffer; 2],
    conversion: Vec<Command>,
    product: Vec<Command>,
    /// SHA-256 of the composed product kernel.
    pub wgsl_sha256: String,
    /// Time to compile all pipelines.
    pub compile_ns: f64,
}

impl GpuMatmul {
    /// Uploads `a` and `b` and compiles `source` and its conversion. `checks` leaves the
    /// shader's run-time checks (index clamps, loop bounds) on.
    pub fn prepare(
        context: &Context,
        source: &KernelSource,
        a: &Matrix,
        b: &Matrix,
        key: Key,
        checks: bool,
    ) -> Result<Self, GpuError> {
        let shape = Shape { m: a.rows, n: b.cols, k: a.cols };
        let builder = Builder { context, source, shape, key, checks };
        let output = output_format(source.precision);
        let source_a = context.buffer("A in f32", 4 * (shape.m * shape.lda()) as u64)?;
        let source_b = context.buffer("B in f32", 4 * (shape.lda() * shape.ldb()) as u64)?;
        let c = context.buffer("C", output.bytes((shape.m * shape.ldb()) as u64))?;
        let mut compile_ns = 0.0;
        let (operands, maxima, conversion) = match source.precision.storage() {
            Format::F32 => ([source_a.clone(), source_b.clone()], None, vec![]),
            Format::Int8 => builder.quantization(&source_a, &source_b, &mut compile_ns)?,
            format if format.is_blocked() => {
                builder.blocks(format, &source_a, &source_b, &mut compile_ns)?
            }
            Format::E4m3 | Format::E5m2 => builder.bytes(&source_a, &source_b, &mut compile_ns)?,
            format => builder.elementwise(format, &source_a, &source_b, &mut compile_ns)?,
        };
        let composed = source.composed();
        let mut constants = builder.problem_constants();
        let mut bindings = vec![(0, &operands[0]), (1, &operands[1]), (2, &c)];
        if let Some([maxima_a, maxima_b]) = &maxima {
            if source.precision.storage() == Format::Int8 {
                constants.push(("PER_VECTOR", builder.per_vector()));
            }
            bindings.extend([(3, maxima_a), (4, maxima_b)]);
        }
        constants.extend(builder.rounding_constants(is_sr(source.precision)));
        let pipeline = context.compile(&composed, "multiply", &constants, checks)?;
        compile_ns += pipeline.compile_ns;
        let product = vec![context.dispatch(&pipeline, &bindings, source.workgroups(shape))?];
        context.upload(&source_a, bytemuck::cast_slice(&padded(a, shape.m, shape.lda())))?;
        context.upload(&source_b, bytemuck::cast_slice(&padded(b, shape.lda(), shape.ldb())))?;
        let wgsl_sha256 = composed.sha256;
        Ok(Self { shape, output, c, operands, conversion, product, wgsl_sha256, compile_ns })
    }

    /// Conversion of both operands; empty for f32.
    pub fn conversion(&self) -> &[Command] {
        &self.conversion
    }

    /// The product of the converted operands.
    pub fn product(&self) -> &[Command] {
        &self.product
    }

    /// Overwrites C with NaN, so that an entry that no kernel writes cannot pass for a result.
    pub fn poison(&self, context: &Context) -> Result<(), GpuError> {
        context.upload(&self.c, &vec![0xff; self.c.bytes() as usize])
    }

    /// C without its padding, m×n row-major; 16-bit entries as f32.
    pub fn result(&self, context: &Context) -> Result<Vec<f32>, GpuError> {
        let ldc = self.shape.ldb();
        let bytes = self.output.bytes((self.shape.m * ldc) as u64);
        let raw = context.read(&self.c, 0, bytes)?;
        let mut c = Vec::with_capacity(self.shape.m * self.shape.n);
        let row_bytes = self.output.bytes(ldc as u64) as usize;
        for row in raw.chunks_exact(row_bytes) {
            match self.output {
                Format::F16 => c.extend(
                    row.as_chunks().0[..self.shape.n]
                        .iter()
                        .map(|&h| round::f16_unpack(u16::from_le_bytes(h), false)),
                ),
                Format::Bf16 => c.extend(
                    row.as_chunks().0[..self.shape.n]
                        .iter()
                        .map(|&h| round::bf16_unpack(u16::from_le_bytes(h))),
                ),
                _ => c.extend(
                    row.as_chunks().0[..self.shape.n].iter().map(|&x| f32::from_le_bytes(x)),
                ),
            }
        }
        Ok(c)
    }

    /// The converted operands A and B as the device holds them, padding included.
    pub fn operand_bytes(&self, context: &Context) -> Result<[Vec<u8>; 2], GpuError> {
        let [a, b] = &self.operands;
        Ok([context.read(a, 0, a.bytes())?, context.read(b, 0, b.bytes())?])
    }
}

/// What the steps of a preparation share.
struct Builder<'a> {
    context: &'a Context,
    source: &'a KernelSource,
    shape: Shape,
    key: Key,
    checks: bool,
}

/// Converted operands, what their scales are made of (int8: maxima), and the commands that make them.
type Converted = ([Buffer; 2], Option<[Buffer; 2]>, Vec<Command>);

impl Builder<'_> {
    fn problem_constants(&self) -> Vec<(&'static str, f64)> {
        let Shape { m, n, k } = self.shape;
        vec![
            ("M", m as f64),
            ("N", n as f64),
            ("K", k as f64),
            ("LDA", self.shape.lda() as f64),
            ("LDB", self.shape.ldb() as f64),
            ("LDC", self.shape.ldb() as f64),
            ("SEED", f64::from(self.key[0])),
            ("TRIAL", f64::from(self.key[1])),
        ]
    }

    /// The constant of the kernels that draw random bits.
    fn rounding_constants(&self, draws: bool) -> Option<(&'static str, f64)> {
        draws.then_some(("ROUNDING_BITS", f64::from(self.source.rounding_bits)))
    }

    /// The same for the kernels that convert the operands.
    fn conversion_constants(&self) -> Vec<(&'static str, f64)> {
        let precision = self.source.precision;
        let draws = precision.rounding() == Rounding::Stochastic && !is_sr(precision);
        self.problem_constants().into_iter().chain(self.rounding_constants(draws)).collect()
    }

    fn per_vector(&self) -> f64 {
        f64::from(u8::from(self.source.precision.scaling() == Some(Scaling::Rowwise)))
    }

    fn pipeline(
        &self,
        sources: &[crate::gpu::Source],
        entry: &str,
        constants: &[(&str, f64)],
        compile_ns: &mut f64,
    ) -> Result<Pipeline, GpuError> {
        let pipeline = self.context.compile(&compose(sources), entry, constants, self.checks)?;
        *compile_ns += pipeline.compile_ns;
        Ok(pipeline)
    }

    /// One kernel over each operand, to a 16-bit format.
    fn elementwise(
        &self,
        format: Format,
        a: &Buffer,
        b: &Buffer,
        compile_ns: &mut f64,
    ) -> Result<Converted, GpuError> {
        let sources = &self.source.conversion[0];
        let (lda, ldb) = (self.shape.lda(), self.shape.ldb());
        let mut commands = vec![];
        let mut convert = |label, from: &Buffer, numbers: usize| {
            let to = self.context.buffer(label, format.bytes(numbers as u64))?;
            let count = numbers / 4;
            let constants = [("COUNT", count as f64), ("STRIDE", GRID_ROW as f64)];
            let pipeline = self.pipeline(sources, "convert", &constants, compile_ns)?;
            let columns = count.min(GRID_ROW).div_ceil(64) as u32;
            let groups = [columns, count.div_ceil(GRID_ROW) as u32, 1];
            commands.push(self.context.dispatch(&pipeline, &[(0, from), (1, &to)], groups)?);
            Ok::<_, GpuError>(to)
        };
        let operands =
            [convert("A converted", a, self.shape.m * lda)?, convert("B converted", b, lda * ldb)?];
        Ok((operands, None, commands))
    }

    /// Maxima, then quantisation, of each operand.
    fn quantization(
        &self,
        a: &Buffer,
        b: &Buffer,
        compile_ns: &mut f64,
    ) -> Result<Converted, GpuError> {
        let Shape { m, n, .. } = self.shape;
        let (lda, ldb) = (self.shape.lda(), self.shape.ldb());
        let [absmax, quantize] = &self.source.conversion[..] else {
            unreachable!("int8 converts in two kernels")
        };
        let per_vector = self.per_vector();
        let scales = |vectors: usize| if per_vector == 0.0 { 1 } else { vectors as u64 };
        let mut quantize_constants = self.conversion_constants();
        quantize_constants.push(("PER_VECTOR", per_vector));
        let groups = |x: usize, y: usize| [x.div_ceil(8) as u32, y.div_ceil(8) as u32, 1];
        let mut commands = vec![];
        let mut convert = |label: &str, from, vectors, rows: usize, ld: usize, by_row: bool| {
            let maxima = self.context.buffer("maxima", 4 * scales(vectors))?;
            let to = self.context.buffer(label, (rows * ld) as u64)?;
            let constants = [
                ("ROWS", rows as f64),
                ("COLUMNS", n as f64),
                ("LD", ld as f64),
                ("PER_VECTOR", per_vector),
            ];
            let (entry, grid) = if by_row {
                ("of_rows", groups((ld / 4).div_ceil(32), rows))
            } else {
                ("of_columns", groups(ld / 4, rows.div_ceil(32)))
            };
            let find = self.pipeline(absmax, entry, &constants, compile_ns)?;
            let (entry, words) = if by_row {
                ("of_a", groups(ld / 4, rows))
            } else {
                ("of_b", groups(ld / 4, rows / 4))
            };
            let quantize = self.pipeline(quantize, entry, &quantize_constants, compile_ns)?;
            commands.push(self.context.clear(&maxima));
            commands.push(self.context.dispatch(&find, &[(0, from), (1, &maxima)], grid)?);
            let bindings = [(0, from), (1, &maxima), (2, &to)];
            commands.push(self.context.dispatch(&quantize, &bindings, words)?);
            Ok::<_, GpuError>((to, maxima))
        };
        let (to_a, maxima_a) = convert("A converted", a, m, m, lda, true)?;
        let (to_b, maxima_b) = convert("B converted", b, n, lda, ldb, false)?;
        Ok(([to_a, to_b], Some([maxima_a, maxima_b]), commands))
    }
}

/// `matrix` with zeros to `rows` rows of `ld` numbers.
fn padded(matrix: &Matrix, rows: usize, ld: usize) -> Vec<f32> {
    let mut out = vec![0.0; rows * ld];
    for (to, from) in out.chunks_mut(ld).zip(matrix.data.chunks(matrix.cols)) {
        to[..matrix.cols].copy_from_slice(from);
    }
    out
}
