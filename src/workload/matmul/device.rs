//! A matrix product on a GPU: buffers, and the commands of its conversion and its product.

mod narrow;

use super::files::is_sr;
use super::kernels::{KernelSource, has_layouts};
use super::{Shape, output_format, upload_format};
use crate::gpu::{Buffer, Command, Context, GpuError, Pipeline, compose};
use crate::mirror::convert::Key;
use crate::mirror::split::{bf16_triple_of_f64, f16_pair_of_f64, f32_pair};
use crate::number::philox::Stream;
use crate::number::{Entries, Format, Rounding, Scaling, round};
use crate::problem::layout::Stored;
use crate::problem::matrix::Matrix;

/// Threads a row of the 2-D grid of an elementwise kernel.
const GRID_ROW: usize = 64 * 1024;

/// A prepared product: operands uploaded in f32 or wider, all pipelines compiled.
pub struct GpuMatmul {
    shape: Shape,
    output: Format,
    c: Buffer,
    /// Where k is cut into slices: their sums, from which C is made.
    slices: Option<Buffer>,
    /// The converted operands, as the product reads them.
    operands: [Buffer; 2],
    conversion: Vec<Command>,
    product: Vec<Command>,
    /// SHA-256 of the product kernel, as [`KernelSource::sha256`] has it.
    pub wgsl_sha256: String,
    /// Time to compile all pipelines.
    pub compile_ns: f64,
}

impl GpuMatmul {
    /// Uploads `operands` as they are stored and compiles `source` and its conversion. What was given in
    /// f64 is uploaded in f64 or as parts that the host makes, if the precision takes it so
    /// ([`takes_f64`](crate::number::Precision::takes_f64)), else in f32. `checks` leaves the shader's
    /// run-time checks (index clamps, loop bounds) on.
    pub fn prepare(
        context: &Context,
        source: &KernelSource,
        operands: &Stored<'_>,
        key: Key,
        checks: bool,
    ) -> Result<Self, GpuError> {
        let shape = Shape::of(operands);
        let builder = Builder { context, source, shape, key, checks };
        let output = output_format(source.precision);
        let uploaded = upload_format(source.precision, operands.given_f64.is_some());
        let source_buffer = |name, numbers: u64| {
            context.buffer(&format!("{name} in {}", uploaded.name()), uploaded.bytes(numbers))
        };
        let source_a = source_buffer("A", shape.stored_numbers_of_a())?;
        let source_b = source_buffer("B", shape.stored_numbers_of_b())?;
        let c = context.buffer("C", output.bytes(shape.stored_numbers_of_c()))?;
        let mut compile_ns = 0.0;
        let (converted, maxima, conversion) = match source.precision.storage() {
            format if format == uploaded => ([source_a.clone(), source_b.clone()], None, vec![]),
            Format::Int8 => builder.quantization(&source_a, &source_b, &mut compile_ns)?,
            format if format.is_blocked() => {
                builder.blocks(format, &source_a, &source_b, &mut compile_ns)?
            }
            Format::E4m3 | Format::E5m2 => builder.bytes(&source_a, &source_b, &mut compile_ns)?,
            format => builder.elementwise(format, &source_a, &source_b, &mut compile_ns)?,
        };
        let composed = source.composed();
        let mut constants = builder.problem_constants();
        constants.extend(builder.layout_constants());
        let slices = match source.slices() {
            1 => None,
            count => {
                let numbers = u64::from(count) * shape.stored_numbers_of_c();
                Some(context.buffer("sums of slices", output.bytes(numbers))?)
            }
        };
        let sums = slices.as_ref().unwrap_or(&c);
        let mut bindings = vec![(0, &converted[0]), (1, &converted[1]), (2, sums)];
        if let Some([maxima_a, maxima_b]) = &maxima {
            if source.precision.storage() == Format::Int8 {
                constants.push(("PER_VECTOR", builder.per_vector()));
            }
            bindings.extend([(3, maxima_a), (4, maxima_b)]);
        }
        // A new buffer holds zeros, which compilers do not know.
        let zero = context.buffer("a run-time zero", 4)?;
        if source.precision.is_compensated() {
            bindings.push((3, &zero));
        }
        constants.extend(builder.rounding_constants(is_sr(source.precision)));
        let pipeline = context.compile(&composed, "multiply", &constants, checks)?;
        compile_ns += pipeline.compile_ns;
        let mut product = vec![context.dispatch(&pipeline, &bindings, source.workgroups(shape))?];
        if let (Some(sums), Some(addition)) = (&slices, source.addition()) {
            let constants = builder.problem_constants();
            let pipeline = context.compile(&addition, "add_slices", &constants, checks)?;
            compile_ns += pipeline.compile_ns;
            let groups = [shape.n.div_ceil(4 * 8), shape.m.div_ceil(8), shape.batch];
            let groups = groups.map(|groups| groups as u32);
            product.push(context.dispatch(&pipeline, &[(0, sums), (1, &c)], groups)?);
        }
        let (rows_a, rows_b) = (shape.stored_rows_of_a(), shape.stored_rows_of_b());
        let [a_f64, b_f64] = match &operands.given_f64 {
            Some([a, b]) => [Some(&a[..]), Some(&b[..])],
            None => [None, None],
        };
        let (size_a, size_b) =
            ([shape.batch, rows_a, shape.lda()], [shape.batch, rows_b, shape.ldb()]);
        context.upload(&source_a, &encoded(uploaded, &operands.a, a_f64, size_a))?;
        context.upload(&source_b, &encoded(uploaded, &operands.b, b_f64, size_b))?;
        let (wgsl_sha256, operands) = (source.sha256(), converted);
        Ok(Self {
            shape,
            output,
            c,
            slices,
            operands,
            conversion,
            product,
            wgsl_sha256,
            compile_ns,
        })
    }

    /// Conversion of both operands; empty for f32 and wider, and where the host made the parts of f64.
    pub fn conversion(&self) -> &[Command] {
        &self.conversion
    }

    /// The product of the converted operands.
    pub fn product(&self) -> &[Command] {
        &self.product
    }

    /// Overwrites C, and the sums of slices, with NaN, so that an entry that no kernel writes cannot
    /// pass for a result.
    pub fn poison(&self, context: &Context) -> Result<(), GpuError> {
        for buffer in [Some(&self.c), self.slices.as_ref()].into_iter().flatten() {
            context.upload(buffer, &vec![0xff; buffer.bytes() as usize])?;
        }
        Ok(())
    }

    /// C without its padding, m×n row-major, that of one product above the next one's, in its own
    /// format; 16-bit entries as f32.
    ///
    /// # Errors
    /// [`GpuError`] where the device does not hand it out.
    pub fn entries(&self, context: &Context) -> Result<Entries, GpuError> {
        let n = self.shape.n;
        let row_bytes = self.output.bytes(self.shape.ldc() as u64);
        let raw = context.read(&self.c, 0, self.output.bytes(self.shape.stored_numbers_of_c()))?;
        let rows = raw.chunks_exact(row_bytes as usize);
        let f32_of = |bytes: [u8; 4]| f32::from_le_bytes(bytes);
        Ok(match self.output {
            Format::F16 => Entries::Single(
                numbers(rows, n).map(|h| round::f16_unpack(u16::from_le_bytes(h), false)).collect(),
            ),
            Format::Bf16 => Entries::Single(
                numbers(rows, n).map(|h| round::bf16_unpack(u16::from_le_bytes(h))).collect(),
            ),
            Format::F32x2 => Entries::Pair(
                numbers(rows, n)
                    .map(|x: [u8; 8]| {
                        let [a, b, c, d, e, f, g, h] = x;
                        [f32_of([a, b, c, d]), f32_of([e, f, g, h])]
                    })
                    .collect(),
            ),
            Format::F64 => Entries::Double(numbers(rows, n).map(f64::from_le_bytes).collect()),
            _ => Entries::Single(numbers(rows, n).map(f32_of).collect()),
        })
    }

    /// [`GpuMatmul::entries`] as f32, to which those of a wider format are rounded.
    ///
    /// # Errors
    /// As [`GpuMatmul::entries`].
    pub fn result(&self, context: &Context) -> Result<Vec<f32>, GpuError> {
        Ok(match self.entries(context)? {
            Entries::Single(c) => c,
            wide => wide.values().into_iter().map(|x| x as f32).collect(),
        })
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
        // Of the operands as the product reads them.
        let shape = self.shape.converted(self.source.precision);
        let Shape { m, n, k, batch, .. } = shape;
        vec![
            ("M", m as f64),
            ("N", n as f64),
            ("K", k as f64),
            ("LDA", shape.lda() as f64),
            ("LDB", shape.ldb() as f64),
            ("LDC", shape.ldc() as f64),
            ("LDK", shape.ldk() as f64),
            ("BATCH", batch as f64),
            ("SEED", f64::from(self.key[0])),
            ("TRIAL", f64::from(self.key[1])),
        ]
    }

    /// Those that the kernels which read every layout have beside the problem's.
    fn layout_constants(&self) -> Vec<(&'static str, f64)> {
        if !has_layouts(self.source.kernel, self.source.precision) {
            return vec![];
        }
        let layout = self.shape.layout;
        let (a, b) = (layout.a_transposed(), layout.b_transposed());
        vec![("A_TRANSPOSED", f64::from(u8::from(a))), ("B_TRANSPOSED", f64::from(u8::from(b)))]
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
        let mut commands = vec![];
        let mut convert = |label, from: &Buffer, numbers: u64| {
            let to = self.context.buffer(label, format.bytes(numbers))?;
            let count = numbers as usize / 4;
            commands.push(self.by_fours((from, &to), count, vec![], compile_ns)?);
            Ok::<_, GpuError>(to)
        };
        let operands = [
            convert("A converted", a, self.shape.stored_numbers_of_a())?,
            convert("B converted", b, self.shape.stored_numbers_of_b())?,
        ];
        Ok((operands, None, commands))
    }

    /// The conversion of `count` vectors of four numbers, a thread each.
    fn by_fours(
        &self,
        (from, to): (&Buffer, &Buffer),
        count: usize,
        mut constants: Vec<(&'static str, f64)>,
        compile_ns: &mut f64,
    ) -> Result<Command, GpuError> {
        constants.extend([("COUNT", count as f64), ("STRIDE", GRID_ROW as f64)]);
        let sources = &self.source.conversion[0];
        let pipeline = self.pipeline(sources, "convert", &constants, compile_ns)?;
        let columns = count.min(GRID_ROW).div_ceil(64) as u32;
        let groups = [columns, count.div_ceil(GRID_ROW) as u32, 1];
        self.context.dispatch(&pipeline, &[(0, from), (1, to)], groups)
    }

    /// Maxima, then quantisation, of each operand.
    fn quantization(
        &self,
        a: &Buffer,
        b: &Buffer,
        compile_ns: &mut f64,
    ) -> Result<Converted, GpuError> {
        let Shape { m, n, layout, batch, .. } = self.shape;
        let [absmax, quantize] = &self.source.conversion[..] else {
            unreachable!("int8 converts in two kernels")
        };
        let per_vector = self.per_vector();
        let scales = |vectors: usize| if per_vector == 0.0 { 1 } else { (batch * vectors) as u64 };
        let groups = |x: usize, y: usize| [x.div_ceil(8) as u32, y.div_ceil(8) as u32, 1];
        let mut commands = vec![];
        // `vectors` rows of A or columns of B, which are rows of what is stored if these go along k.
        let mut convert = |label, from, stream, vectors, [rows, ld]: [usize; 2], along_k| {
            let maxima = self.context.buffer("maxima", 4 * scales(vectors))?;
            let to = self.context.buffer(label, (rows * ld) as u64)?;
            let constants = [
                ("ROWS", rows as f64),
                ("COLUMNS", if along_k { self.shape.k } else { vectors } as f64),
                ("LD", ld as f64),
                ("SLAB", (rows / batch) as f64),
                ("PER_VECTOR", per_vector),
            ];
            let (entry, strips, words) = if along_k {
                ("of_rows", groups((ld / 4).div_ceil(32), rows), groups(ld / 4, rows))
            } else {
                ("of_columns", groups(ld / 4, rows.div_ceil(32)), groups(ld / 4, rows / 4))
            };
            let find = self.pipeline(absmax, entry, &constants, compile_ns)?;
            let stream = [("STREAM", f64::from(stream as u32))];
            let constants = [&self.conversion_constants()[..], &constants, &stream].concat();
            let quantize = self.pipeline(quantize, entry, &constants, compile_ns)?;
            commands.push(self.context.clear(&maxima));
            commands.push(self.context.dispatch(&find, &[(0, from), (1, &maxima)], strips)?);
            let bindings = [(0, from), (1, &maxima), (2, &to)];
            commands.push(self.context.dispatch(&quantize, &bindings, words)?);
            Ok::<_, GpuError>((to, maxima))
        };
        let (size_a, along_k) =
            ([self.shape.stored_rows_of_a(), self.shape.lda()], !layout.a_transposed());
        let (to_a, maxima_a) = convert("A converted", a, Stream::ConvertA, m, size_a, along_k)?;
        let (size_b, along_k) =
            ([self.shape.stored_rows_of_b(), self.shape.ldb()], layout.b_transposed());
        let (to_b, maxima_b) = convert("B converted", b, Stream::ConvertB, n, size_b, along_k)?;
        Ok(([to_a, to_b], Some([maxima_a, maxima_b]), commands))
    }
}

/// The first `n` numbers of each row, of `BYTES` bytes each.
fn numbers<'a, const BYTES: usize>(
    rows: impl Iterator<Item = &'a [u8]>,
    n: usize,
) -> impl Iterator<Item = [u8; BYTES]> {
    rows.flat_map(move |row| row.as_chunks().0[..n].iter().copied())
}

/// A stack of matrices, padded to `size`, in the format in which it is uploaded: as f32, as pairs whose
/// lower parts are 0 unless it was `given` in f64, as f64, or as the parts of what was given in f64.
fn encoded(format: Format, stack: &Matrix, given: Option<&[f64]>, size: [usize; 3]) -> Vec<u8> {
    let columns = stack.cols;
    let single = |data: &[f32]| padded(data, stack.rows, columns, size);
    match (format, given) {
        (Format::F32x2, Some(given)) => {
            let numbers = padded(given, stack.rows, columns, size);
            numbers.into_iter().flat_map(f32_pair).flat_map(f32::to_le_bytes).collect()
        }
        (Format::F32x2, None) => single(&stack.data)
            .into_iter()
            .flat_map(|x| [x, 0.0])
            .flat_map(f32::to_le_bytes)
            .collect(),
        (Format::F16x2, Some(given)) => {
            let numbers = padded(given, stack.rows, columns, size);
            numbers.into_iter().flat_map(f16_pair_of_f64).flat_map(u16::to_le_bytes).collect()
        }
        (Format::Bf16x3, Some(given)) => {
            let numbers = padded(given, stack.rows, columns, size);
            let triples: Vec<_> = numbers.into_iter().map(bf16_triple_of_f64).collect();
            let plane = |part: usize| triples.iter().map(move |triple| triple[part]);
            (0..3).flat_map(plane).flat_map(u16::to_le_bytes).collect()
        }
        (Format::F64, Some(given)) => padded(given, stack.rows, columns, size)
            .into_iter()
            .flat_map(f64::to_le_bytes)
            .collect(),
        (Format::F64, None) => {
            single(&stack.data).into_iter().flat_map(|x| f64::from(x).to_le_bytes()).collect()
        }
        _ => bytemuck::cast_slice(&single(&stack.data)).to_vec(),
    }
}

/// A stack of `count` matrices, of `stack_rows` rows together, with zeros: to `rows` rows of `ld` numbers,
/// each matrix to as many.
fn padded<T: Copy + Default>(
    data: &[T],
    stack_rows: usize,
    columns: usize,
    [count, rows, ld]: [usize; 3],
) -> Vec<T> {
    let mut out = vec![T::default(); rows * ld];
    let matrices = data.chunks(stack_rows / count * columns);
    for (to, from) in out.chunks_mut(rows / count * ld).zip(matrices) {
        for (to, from) in to.chunks_mut(ld).zip(from.chunks(columns)) {
            to[..columns].copy_from_slice(from);
        }
    }
    out
}
