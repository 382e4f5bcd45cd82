//! What matrix units do on the way from the products to the sum: subnormals, rounding, extra bits,
//! normalisation, in the manner of Fasi, Higham, Mikaitis and Pranesh (2021).
//!
//! Each question is c + Σ a·b of a few products, all else zero, whose result differs from answer to
//! answer. A unit is asked through a closure, so that the decoding is tested on a model of one.

use half::f16;

use super::machine::{Denied, exp2};
use super::rounding::{Grid, named};
use crate::gpu::{Context, Source, compose};
use crate::wgsl;

/// Joins one of [`TILES`]' files.
pub(super) const KERNEL: Source = wgsl!("probe/matrix_unit.wgsl");

/// A shape and its types, as an adapter lists it.
#[derive(Clone, Copy)]
pub(super) struct Tile {
    pub name: &'static str,
    pub edge: usize,
    pub operands_f16: bool,
    pub sums_f16: bool,
    pub types: Source,
}

pub(super) const TILES: [Tile; 5] = {
    const fn tile(
        name: &'static str,
        edge: usize,
        operands_f16: bool,
        sums_f16: bool,
        types: Source,
    ) -> Tile {
        Tile { name, edge, operands_f16, sums_f16, types }
    }
    const WIDE: Source = wgsl!("probe/peak_cooperative_16_f16_f32.wgsl");
    const WIDE_F16: Source = wgsl!("probe/peak_cooperative_16_f16_f16.wgsl");
    const SMALL: Source = wgsl!("probe/peak_cooperative_8_f16_f32.wgsl");
    const SMALL_F16: Source = wgsl!("probe/peak_cooperative_8_f16_f16.wgsl");
    const SMALL_F32: Source = wgsl!("probe/peak_cooperative_8_f32_f32.wgsl");
    [
        tile("16x16x16 f16·f16+f32", 16, true, false, WIDE),
        tile("16x16x16 f16·f16+f16", 16, true, true, WIDE_F16),
        tile("8x8x8 f16·f16+f32", 8, true, false, SMALL),
        tile("8x8x8 f16·f16+f16", 8, true, true, SMALL_F16),
        tile("8x8x8 f32·f32+f32", 8, false, false, SMALL_F32),
    ]
};

/// c + Σ a·b; at most as many products as a tile is wide, and at most eight.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Question {
    products: Vec<[f32; 2]>,
    c: f32,
}

fn question(products: &[[f32; 2]], c: f32) -> Question {
    Question { products: products.to_vec(), c }
}

/// ±2^exponent as a product of two numbers that f16 has, for exponents down to −48.
fn power(exponent: i32) -> [f32; 2] {
    [exp2(exponent / 2), exp2(exponent - exponent / 2)]
}

/// What is found out about a unit, as (property, what was seen).
pub(super) type Features = Vec<(&'static str, String)>;

/// Asks and decodes. `ask` returns the result of each question; sums are of f16 or of f32.
pub(super) fn features<E>(
    sums_f16: bool,
    mut ask: impl FnMut(&[Question]) -> Result<Vec<f64>, E>,
) -> Result<Features, E> {
    Ok(vec![
        ("subnormal operands", subnormal_operands(&mut ask)?),
        ("subnormal sums", subnormal_sums(sums_f16, &mut ask)?),
        ("products", products(&mut ask)?),
        ("rounding of the sum", rounding(sums_f16, &mut ask)?),
        ("extra bits", extra_bits(sums_f16, &mut ask)?),
        ("normalisation", normalisation(sums_f16, &mut ask)?),
    ])
}

/// Digits of the sums, and their grid.
fn format(sums_f16: bool) -> (i32, Grid) {
    if sums_f16 { (11, Grid::F16) } else { (24, Grid::F32) }
}

fn fate(got: f64, kept: f64) -> String {
    match got {
        got if got == kept => "kept".to_owned(),
        0.0 => "flushed to zero".to_owned(),
        other => format!("changed: {other:e} for {kept:e}"),
    }
}

/// The least f16 subnormal times 4.
fn subnormal_operands<E>(
    ask: &mut impl FnMut(&[Question]) -> Result<Vec<f64>, E>,
) -> Result<String, E> {
    let got = ask(&[question(&[[exp2(-24), 4.0]], 0.0)])?;
    Ok(fate(got[0], 2f64.powi(-22)))
}

/// A subnormal c to which nothing is added; of f16 also a product that is subnormal.
fn subnormal_sums<E>(
    sums_f16: bool,
    ask: &mut impl FnMut(&[Question]) -> Result<Vec<f64>, E>,
) -> Result<String, E> {
    if sums_f16 {
        let got = ask(&[question(&[power(-20)], 0.0)])?;
        return Ok(fate(got[0], 2f64.powi(-20)));
    }
    let got = ask(&[question(&[], exp2(-140))])?;
    Ok(fate(got[0], 2f64.powi(-140)))
}

/// (1 + 2^-10)² has 21 bits; 1 + 2^-9 is taken away.
fn products<E>(ask: &mut impl FnMut(&[Question]) -> Result<Vec<f64>, E>) -> Result<String, E> {
    let a = 1.0 + exp2(-10);
    let got = ask(&[question(&[[a, a]], -1.0 - exp2(-9))])?[0];
    Ok(match got {
        got if got == 2f64.powi(-20) => "exact".to_owned(),
        0.0 => "rounded, or cut off before they are added".to_owned(),
        other => format!("changed: {other:e} for 2^-20"),
    })
}

/// ±2 and a quarter, a half and three quarters of a unit in its last place.
fn rounding<E>(
    sums_f16: bool,
    ask: &mut impl FnMut(&[Question]) -> Result<Vec<f64>, E>,
) -> Result<String, E> {
    let (digits, grid) = format(sums_f16);
    let mut questions = vec![];
    let mut exact = vec![];
    for sign in [1.0, -1.0] {
        for quarters in [1.0, 2.0, 3.0] {
            let [a, b] = power(-digits);
            questions.push(question(&[[sign * quarters * a, b]], sign * 2.0));
            exact.push(f64::from(sign) * (2.0 + f64::from(quarters) * 2f64.powi(-digits)));
        }
    }
    let answers: Vec<(f64, f64)> = exact.into_iter().zip(ask(&questions)?).collect();
    Ok(named(&answers, grid))
}

/// Bits below the last place of the largest summand that take part in the sum: 1 − 1 and a power of
/// two, in every order of the three, is that power as far down as it is not cut off.
fn extra_bits<E>(
    sums_f16: bool,
    ask: &mut impl FnMut(&[Question]) -> Result<Vec<f64>, E>,
) -> Result<String, E> {
    let (digits, _) = format(sums_f16);
    let least = if sums_f16 { -24 } else { -48 };
    let exponents: Vec<i32> = (least..1 - digits).rev().collect();
    let (one, minus) = ([1.0, 1.0], [-1.0, 1.0]);
    let mut questions = vec![];
    for &exponent in &exponents {
        let tiny = power(exponent);
        questions.extend(
            [[one, tiny, minus], [tiny, one, minus], [one, minus, tiny]]
                .map(|three| question(&three, 0.0)),
        );
    }
    let answers = ask(&questions)?;
    let whole =
        |(exponent, got): (&i32, &[f64])| got.iter().all(|&got| got == 2f64.powi(*exponent));
    let count = exponents.iter().zip(answers.chunks(3)).take_while(|&pair| whole(pair)).count();
    Ok(match count {
        all if all == exponents.len() => format!("{all} or more"),
        some => some.to_string(),
    })
}

/// 1 − u and four times u, where u is half a unit in the last place of 1.
fn normalisation<E>(
    sums_f16: bool,
    ask: &mut impl FnMut(&[Question]) -> Result<Vec<f64>, E>,
) -> Result<String, E> {
    let (digits, _) = format(sums_f16);
    let u = 2f64.powi(-digits);
    let got = ask(&[question(&[power(-digits); 4], (1.0 - u) as f32)])?[0];
    Ok(match got {
        1.0 => "after each addition, or what is small is lost beside c".to_owned(),
        got if got == 1.0 + 2.0 * u => "once, at the end, and the rest cut off".to_owned(),
        got if got == 1.0 + 4.0 * u => "once, at the end, and rounded to nearest".to_owned(),
        other => format!("neither each nor once: {other:e}"),
    })
}

/// A sum as a unit forms it that aligns all summands to the largest and cuts off what lies more than
/// `extra` bits below its last place, in a format of `digits` binary digits.
pub(crate) fn aligned_sum(summands: &[f64], digits: i32, extra: i32) -> f64 {
    let largest = summands.iter().fold(0.0, |most: f64, x| most.max(x.abs()));
    if largest == 0.0 {
        return 0.0;
    }
    let exponent = largest.log2().floor() as i32;
    let quantum = 2f64.powi((exponent - (digits - 1) - extra).max(-1000));
    summands.iter().map(|x| (x / quantum).trunc() * quantum).sum()
}

/// The features of each matrix unit of a device, by name; why there are none.
pub(super) fn of_device(context: &Context) -> Result<Vec<(&'static str, Features)>, Denied> {
    let info = &context.info;
    let listed = |tile: &Tile| info.cooperative_matrices.iter().any(|name| name == tile.name);
    let tiles: Vec<Tile> = TILES.into_iter().filter(listed).collect();
    if tiles.is_empty() || !context.has_cooperative_matrices() {
        return Err(Denied::Lacks("no matrix units of a shape that is known here"));
    }
    let asked = tiles.iter().map(|tile| {
        let found = features(tile.sums_f16, |questions| ask_unit(context, tile, questions))?;
        Ok((tile.name, found))
    });
    asked.collect()
}

/// The first entry of the tile of each question.
fn ask_unit(context: &Context, tile: &Tile, questions: &[Question]) -> Result<Vec<f64>, Denied> {
    let lanes = f64::from(context.info.subgroup_max.max(1));
    let composed = compose(&[tile.types, KERNEL]);
    let constants = [("WORKGROUP_SIZE", lanes)];
    let pipeline = context.compile(&composed, "multiply_add", &constants, false)?;
    let [left, right, sums] = tiles_of(tile, questions);
    let mut buffers = vec![];
    for (label, bytes) in [("left", &left), ("right", &right), ("sums", &sums), ("results", &sums)]
    {
        let buffer = context.buffer(label, bytes.len() as u64)?;
        context.upload(&buffer, bytes)?;
        buffers.push(buffer);
    }
    let bindings: Vec<_> = (0..).zip(&buffers).collect();
    let command = context.dispatch(&pipeline, &bindings, [questions.len() as u32, 1, 1])?;
    context.run(&[command], 1)?;
    let bytes = context.read(&buffers[3], 0, sums.len() as u64)?;
    let firsts = bytes.chunks(sums.len() / questions.len().max(1));
    Ok(firsts.map(|tile_bytes| number(tile_bytes, tile.sums_f16)).collect())
}

fn number(bytes: &[u8], is_f16: bool) -> f64 {
    match (is_f16, bytes) {
        (true, [a, b, ..]) => f16::from_le_bytes([*a, *b]).to_f64(),
        (false, [a, b, c, d, ..]) => f32::from_le_bytes([*a, *b, *c, *d]).into(),
        _ => f64::NAN,
    }
}

/// The bytes of A, B and C of all questions: the products along the first row and column, c in the
/// corner, zeros elsewhere.
fn tiles_of(tile: &Tile, questions: &[Question]) -> [Vec<u8>; 3] {
    let edge = tile.edge;
    let mut all = [const { Vec::new() }; 3];
    for Question { products, c } in questions {
        let mut numbers = [const { Vec::new() }; 3].map(|mut tile: Vec<f32>| {
            tile.resize(edge * edge, 0.0);
            tile
        });
        for (q, &[a, b]) in products.iter().enumerate() {
            (numbers[0][q], numbers[1][q * edge]) = (a, b);
        }
        numbers[2][0] = *c;
        let narrow = [tile.operands_f16, tile.operands_f16, tile.sums_f16];
        for ((bytes, numbers), narrow) in all.iter_mut().zip(numbers).zip(narrow) {
            for x in numbers {
                match narrow {
                    true => bytes.extend(f16::from_f32(x).to_le_bytes()),
                    false => bytes.extend(x.to_le_bytes()),
                }
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::super::rounding::Mode;
    use super::*;

    /// A matrix unit in software.
    #[derive(Clone, Copy)]
    struct Unit {
        sums_f16: bool,
        /// Bits kept below the last place of the largest summand; `None` keeps all.
        extra: Option<i32>,
        /// Rounds after each addition instead of once.
        each: bool,
        mode: Mode,
        flushes: bool,
    }

    impl Unit {
        fn answer(self, question: &Question) -> f64 {
            let (digits, grid) = format(self.sums_f16);
            let keep = |x: f64, least: i32| {
                if self.flushes && x.abs() < 2f64.powi(least) { 0.0 } else { x }
            };
            let least_sum = if self.sums_f16 { -14 } else { -126 };
            let products =
                question.products.iter().map(|&[a, b]| keep(a.into(), -14) * keep(b.into(), -14));
            let c = keep(question.c.into(), least_sum);
            if self.each {
                return products.fold(c, |sum, p| keep(self.mode.round(sum + p, grid), least_sum));
            }
            let all: Vec<f64> = [c].into_iter().chain(products).collect();
            let sum = match self.extra {
                Some(extra) => aligned_sum(&all, digits, extra),
                None => all.iter().sum(),
            };
            keep(self.mode.round(sum, grid), least_sum)
        }

        fn seen(self, property: &str) -> String {
            let ask = |questions: &[Question]| {
                Ok::<_, Infallible>(questions.iter().map(|q| self.answer(q)).collect())
            };
            let Ok(found) = features(self.sums_f16, ask);
            found.into_iter().find(|(name, _)| *name == property).unwrap().1
        }
    }

    const EXACT: Unit =
        Unit { sums_f16: false, extra: None, each: false, mode: Mode::NearestEven, flushes: false };

    #[test]
    fn a_unit_that_cuts_off_is_seen_to() {
        for extra in [0, 1, 2, 3, 7] {
            let unit = Unit { extra: Some(extra), mode: Mode::TowardZero, ..EXACT };
            assert_eq!(unit.seen("extra bits"), extra.to_string());
            assert_eq!(unit.seen("rounding of the sum"), "toward zero");
            assert_eq!(unit.seen("normalisation"), "once, at the end, and the rest cut off");
            let f16 = Unit { sums_f16: true, ..unit };
            assert_eq!(f16.seen("extra bits"), extra.to_string());
            assert_eq!(f16.seen("rounding of the sum"), "toward zero");
        }
    }

    #[test]
    fn a_unit_that_is_exact_until_it_rounds_is_seen_to() {
        for (sums_f16, extra) in [(false, "25 or more"), (true, "14 or more")] {
            let unit = Unit { sums_f16, ..EXACT };
            assert_eq!(unit.seen("extra bits"), extra);
            assert_eq!(unit.seen("rounding of the sum"), "nearest, ties to even");
            assert_eq!(unit.seen("normalisation"), "once, at the end, and rounded to nearest");
            assert_eq!(unit.seen("products"), "exact");
            assert_eq!(unit.seen("subnormal operands"), "kept");
            assert_eq!(unit.seen("subnormal sums"), "kept");
        }
    }

    #[test]
    fn a_unit_that_rounds_each_addition_is_seen_to() {
        for mode in [Mode::NearestEven, Mode::TowardZero] {
            let unit = Unit { each: true, mode, ..EXACT };
            assert_eq!(unit.seen("extra bits"), "0");
            assert_eq!(unit.seen("rounding of the sum"), mode.name());
            assert!(unit.seen("normalisation").starts_with("after each addition"));
        }
    }

    #[test]
    fn flushing_is_seen() {
        for sums_f16 in [false, true] {
            let unit = Unit { flushes: true, sums_f16, ..EXACT };
            assert_eq!(unit.seen("subnormal operands"), "flushed to zero");
            assert_eq!(unit.seen("subnormal sums"), "flushed to zero");
        }
    }

    /// What f16 must hold, it holds: else a question would be another one.
    #[test]
    fn questions_are_exact_in_their_formats() {
        for sums_f16 in [false, true] {
            let ask = |questions: &[Question]| {
                for Question { products, c } in questions {
                    assert!(products.len() <= 8);
                    let operands = products.iter().flatten().copied();
                    for x in operands.chain(sums_f16.then_some(*c)) {
                        assert_eq!(f16::from_f32(x).to_f32(), x, "{questions:?}");
                    }
                }
                Ok::<_, Infallible>(vec![0.0; questions.len()])
            };
            let Ok(found) = features(sums_f16, ask);
            assert_eq!(found.len(), 6);
        }
    }

    #[test]
    fn tiles_hold_a_row_a_column_and_a_corner() {
        let all =
            tiles_of(&TILES[0], &[question(&[[2.0, 3.0], [4.0, 5.0]], 7.0), question(&[], 1.0)]);
        let half =
            |bytes: &[u8], i: usize| f16::from_le_bytes([bytes[2 * i], bytes[2 * i + 1]]).to_f32();
        assert_eq!((half(&all[0], 0), half(&all[0], 1), half(&all[0], 16)), (2.0, 4.0, 0.0));
        assert_eq!((half(&all[1], 0), half(&all[1], 16), half(&all[1], 1)), (3.0, 5.0, 0.0));
        assert_eq!((number(&all[2], false), number(&all[2][4 * 256..], false)), (7.0, 1.0));
    }
}
