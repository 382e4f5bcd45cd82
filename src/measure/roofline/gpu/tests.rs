//! That the kernels of a peak did the work that is counted: what they leave equals what a mirror
//! computes step by step.

use super::*;
use crate::gpu::{Candidate as Device, discover};
use crate::number::arithmetic::Ops;
use crate::with_ops;

fn on_each_device(test: impl Fn(&Context)) {
    for device in discover(None).unwrap().iter().filter(|device| !device.is_cpu()) {
        test(&Device::open(device).unwrap());
    }
}

/// What every candidate of a unit leaves after so many iterations, an element an invocation.
fn results(
    context: &Context,
    unit: Unit,
    operands: &[u8],
    iterations: u32,
) -> Vec<(Candidate, Vec<[u32; 4]>)> {
    let run = |candidate: Candidate| {
        let ready = Ready::new(context, &candidate, operands, iterations, 2).unwrap();
        context.run(&[ready.command(2).unwrap()], 1).unwrap();
        let bytes = context.read(&ready.results, 0, ready.results.bytes()).unwrap();
        drop(ready);
        (candidate, bytemuck::pod_collect_to_vec(&bytes))
    };
    candidates(context, unit).into_iter().map(run).collect()
}

/// Chains of a candidate, by its name.
fn chains_of(candidate: &Candidate) -> usize {
    candidate.name.split(' ').next().unwrap().parse().unwrap()
}

fn exclusive_or(all: [u32; 4], one: [u32; 4]) -> [u32; 4] {
    std::array::from_fn(|i| all[i] ^ one[i])
}

/// What an invocation leaves whose chains begin at `starts[id]`, `starts[id + 1]`, … and end as
/// `last` says.
fn left(id: usize, chains: usize, starts: &[[u32; 4]], last: impl Fn(u32) -> u32) -> [u32; 4] {
    let chain = |c: usize| starts[(id + c) % STARTS].map(&last);
    (0..chains).map(chain).fold([0; 4], exclusive_or)
}

fn words(operands: &[u8]) -> Vec<[u32; 4]> {
    bytemuck::pod_collect_to_vec(operands)
}

#[test]
fn f32_chains_equal_their_mirror_bit_for_bit() {
    on_each_device(|context| {
        if let Some(answer) = &context.fingerprint.unmodelled {
            println!("{}: no mirror models it: {answer}", context.info.slug);
            return;
        }
        let operands = operands(Unit::F32Fma, Kind::Chains);
        let words = words(&operands);
        let [a, b] = [0, 1].map(|i| f32::from_bits(words[STARTS][i]));
        let steps = 37 * STEPS;
        let last = |bits: u32| {
            with_ops!(context.fingerprint.arithmetic, O => {
                (0..steps).fold(f32::from_bits(bits), |x, _| O::fma(x, a, b)).to_bits()
            })
        };
        let found = results(context, Unit::F32Fma, &operands, 37);
        assert_eq!(found.len() % CHAINS.len(), 0);
        for (candidate, results) in found {
            for (id, &result) in results.iter().enumerate() {
                let expected = left(id, chains_of(&candidate), &words, last);
                assert_eq!(result, expected, "{} {} {id}", context.info.slug, candidate.name);
            }
        }
    });
}

/// By sums that are exact in f16, since how a device rounds f16 is its own affair: each step adds
/// 2⁻¹⁰, so what is left counts the steps.
#[test]
fn f16_chains_do_every_step() {
    on_each_device(|context| {
        let mut numbers: Vec<f32> = (0..4 * STARTS).map(|i| (i as f32 - 128.0) / 1024.0).collect();
        numbers.extend([1.0, 1.0 / 1024.0, 0.0, 0.0]);
        let operands = bytemuck::cast_slice(&numbers);
        let last = |bits: u32| (f32::from_bits(bits) + (21 * STEPS) as f32 / 1024.0).to_bits();
        for (candidate, results) in results(context, Unit::F16Fma, operands, 21) {
            for (id, &result) in results.iter().enumerate() {
                let expected = left(id, chains_of(&candidate), &words(operands), last);
                assert_eq!(result, expected, "{} {} {id}", context.info.slug, candidate.name);
            }
        }
    });
}

fn dot4(a: u32, b: u32) -> u32 {
    let products = a.to_le_bytes().into_iter().zip(b.to_le_bytes());
    products.map(|(a, b)| i32::from(a as i8) * i32::from(b as i8)).sum::<i32>() as u32
}

#[test]
fn int8_sums_equal_their_mirror() {
    on_each_device(|context| {
        let operands = operands(Unit::Dot4, Kind::Chains);
        let words = words(&operands);
        let factor = words[STARTS][0];
        let last = |x: u32| (0..37 * STEPS).fold(x, |x, _| x.wrapping_add(dot4(x, factor)));
        let shared = |id: usize| {
            let mut sums = [0u32; 8];
            let mut a = words[id % STARTS][0];
            for _ in 0..37 * STEPS {
                let b = words[STARTS].iter().chain(&words[STARTS + 1]);
                sums.iter_mut().zip(b).for_each(|(sum, &b)| *sum = sum.wrapping_add(dot4(a, b)));
                a = a.wrapping_add(words[STARTS + 2][0]);
            }
            std::array::from_fn(|i| sums[i] ^ sums[i + 4])
        };
        let found = results(context, Unit::Dot4, &operands, 37);
        let sharing = found.iter().filter(|(c, _)| c.files == [DOT4_SHARED]).count();
        assert_eq!(found.len(), sharing * (CHAINS.len() + 1));
        for (candidate, results) in found {
            for (id, &result) in results.iter().enumerate() {
                let expected = match candidate.files == [DOT4_SHARED] {
                    true => shared(id),
                    false => left(id, chains_of(&candidate), &words, last),
                };
                assert_eq!(result, expected, "{} {} {id}", context.info.slug, candidate.name);
            }
        }
    });
}

/// With whole numbers, whose sums are exact in either format, and the same left operand twice: after
/// n products each sum is n times the product. Asks nothing where no device has matrix units.
#[test]
fn matrix_units_do_every_product() {
    on_each_device(|context| {
        for unit in [Unit::CooperativeF32, Unit::CooperativeF16] {
            for candidate in candidates(context, unit) {
                let Kind::Tiles { edge, operand_f16 } = candidate.kind else { unreachable!() };
                let edge = edge as usize;
                let number = |i: usize| (i % 3) as f32 - 1.0;
                let left: Vec<f32> = (0..edge * edge).map(|i| number(i / 2)).collect();
                let right: Vec<f32> = (0..edge * edge).map(|i| number(i * 7 / 5)).collect();
                let numbers = left.iter().chain(&left).chain(&right).copied();
                let operands = tile_bytes(numbers, operand_f16);
                let iterations = 3;
                let ready = Ready::new(context, &candidate, &operands, iterations, 1).unwrap();
                context.run(&[ready.command(1).unwrap()], 1).unwrap();
                let bytes = context.read(&ready.results, 0, ready.results.bytes()).unwrap();
                let sums: Vec<f32> = match unit {
                    Unit::CooperativeF32 => bytemuck::pod_collect_to_vec(&bytes),
                    _ => bytemuck::pod_collect_to_vec::<u8, half::f16>(&bytes)
                        .into_iter()
                        .map(f32::from)
                        .collect(),
                };
                let steps = (u64::from(iterations) * COOPERATIVE_STEPS) as f32;
                for column in 0..edge {
                    for row in 0..edge {
                        let products =
                            (0..edge).map(|q| left[q * edge + row] * right[column * edge + q]);
                        let expected = steps * products.sum::<f32>();
                        for tile in 0..COOPERATIVE_SUMS as usize {
                            let got = sums[tile * edge * edge + column * edge + row];
                            assert_eq!(got, expected, "{} {tile} {row} {column}", candidate.name);
                        }
                    }
                }
                let subgroups = ready.operations(1).unwrap();
                assert!(subgroups >= f64::from(ITERATIONS) * candidate.operations as f64);
            }
        }
    });
}

/// Every walk reads each element once, and copies each.
#[test]
fn every_walk_covers_the_buffers() {
    on_each_device(|context| {
        let memory = Memory::allocate(context, 2 * GRAIN, 4 * GRAIN).unwrap();
        assert_eq!((memory.pairs.len(), memory.bytes), (2, 4 * GRAIN));
        let all = |buffer: &Buffer, bytes: u64| {
            let words = words(&context.read(buffer, 0, bytes).unwrap());
            words.into_iter().fold([0; 4], exclusive_or)
        };
        let (source, target) = &memory.pairs[1];
        let expected = all(source, source.bytes());
        assert!(expected.iter().all(|&word| word != 0), "filled: {expected:x?}");
        for walk in WALKS {
            context.run(&[context.clear(target), context.clear(&memory.results)], 1).unwrap();
            context.run(&memory.commands("reading", walk).unwrap(), 1).unwrap();
            // The results are of the second pair, which was read last.
            let read = source.bytes() / u64::from(walk.elements);
            assert_eq!(all(&memory.results, read), expected, "{}", context.info.slug);
            context.run(&memory.commands("copying", walk).unwrap(), 1).unwrap();
            let bytes = |buffer: &Buffer| context.read(buffer, 0, buffer.bytes()).unwrap();
            assert!(bytes(source) == bytes(target), "{}", context.info.slug);
        }
    });
}
