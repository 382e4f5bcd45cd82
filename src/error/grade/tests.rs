//! The tests of a grade tell products by the definition from those that are not.

use std::convert::Infallible;

use super::*;

const F32: Limits = Limits { operand_unit: 0.0, sum_unit: 1.0 / 16_777_216.0, exponent: 50 };

fn by_definition(a: &Matrix, b: &Matrix) -> Vec<f64> {
    let (n, k) = (b.cols, a.cols);
    let dot = |i: usize, j: usize| {
        (0..k).fold(0.0f32, |sum, q| a.data[i * k + q].mul_add(b.data[q * n + j], sum))
    };
    (0..a.rows * n).map(|e| f64::from(dot(e / n, e % n))).collect()
}

/// Strassen 1969, in f32, down to 8×8.
fn strassen(a: &[f32], b: &[f32], n: usize) -> Vec<f32> {
    if n <= 8 {
        let entry = |e: usize| (0..n).map(|q| a[e / n * n + q] * b[q * n + e % n]).sum();
        return (0..n * n).map(entry).collect();
    }
    let h = n / 2;
    let part = |x: &[f32], i: usize, j: usize| -> Vec<f32> {
        (0..h * h).map(|e| x[(i * h + e / h) * n + j * h + e % h]).collect()
    };
    let plus = |x: &[f32], y: &[f32]| -> Vec<f32> { x.iter().zip(y).map(|(x, y)| x + y).collect() };
    let less = |x: &[f32], y: &[f32]| -> Vec<f32> { x.iter().zip(y).map(|(x, y)| x - y).collect() };
    let [a11, a12, a21, a22] = [(0, 0), (0, 1), (1, 0), (1, 1)].map(|(i, j)| part(a, i, j));
    let [b11, b12, b21, b22] = [(0, 0), (0, 1), (1, 0), (1, 1)].map(|(i, j)| part(b, i, j));
    let m1 = strassen(&plus(&a11, &a22), &plus(&b11, &b22), h);
    let m2 = strassen(&plus(&a21, &a22), &b11, h);
    let m3 = strassen(&a11, &less(&b12, &b22), h);
    let m4 = strassen(&a22, &less(&b21, &b11), h);
    let m5 = strassen(&plus(&a11, &a12), &b22, h);
    let m6 = strassen(&less(&a21, &a11), &plus(&b11, &b12), h);
    let m7 = strassen(&less(&a12, &a22), &plus(&b21, &b22), h);
    let quarters = [
        plus(&less(&plus(&m1, &m4), &m5), &m7),
        plus(&m3, &m5),
        plus(&m2, &m4),
        plus(&less(&plus(&m1, &m3), &m2), &m6),
    ];
    (0..n * n)
        .map(|e| {
            let (i, j) = (e / n, e % n);
            quarters[2 * (i / h) + j / h][i % h * h + j % h]
        })
        .collect()
}

/// Each number rounded to 24 bits below the greatest of its group: all of the matrix, or its row (its
/// column, of B).
fn fixed_point(x: &Matrix, group: impl Fn(usize, usize) -> usize) -> Matrix {
    let place = |e: usize| group(e / x.cols, e % x.cols);
    let mut greatest = vec![0f64; x.rows.max(x.cols)];
    for (e, &value) in x.data.iter().enumerate() {
        greatest[place(e)] = greatest[place(e)].max(f64::from(value).abs());
    }
    let round = |(e, &value): (usize, &f32)| {
        let step = greatest[place(e)] / 16_777_216.0;
        ((f64::from(value) / step).round() * step) as f32
    };
    Matrix { data: x.data.iter().enumerate().map(round).collect(), ..*x }
}

fn graded(mut product: impl FnMut(&Matrix, &Matrix) -> Vec<f64>) -> Graded {
    let mut product = |a: &Matrix, b: &Matrix| Ok::<_, Infallible>(product(a, b));
    Examiner::new(1).grade(&mut product, F32).unwrap()
}

#[test]
fn the_definition_gets_an_a() {
    let graded = graded(by_definition);
    assert_eq!(graded.grade, Grade::A, "{graded:?}");
    assert_eq!(graded.reasons(), Vec::<String>::new());
    // Each entry's error grows as √n (Higham and Mary 2019), the largest of n² a little faster, and far
    // from the n of the worst case.
    let law = graded.growth.unwrap();
    assert!(law.ci95_low > 0.0 && law.ci95_high < 1.0, "{law:?}");
}

#[test]
fn strassen_is_found_by_its_zeros() {
    let graded =
        graded(|a, b| strassen(&a.data, &b.data, a.rows).into_iter().map(f64::from).collect());
    assert!(graded.false_zeros > 0, "{graded:?}");
    // Its bound is in the norms of whole matrices alone (Higham 2002, 23.2.2).
    assert_eq!(graded.grade, Grade::C, "{graded:?}");
    assert!(graded.reasons().iter().any(|reason| reason.contains("Strassen")), "{graded:?}");
}

#[test]
fn fixed_point_is_found_by_its_span() {
    let by_rows =
        graded(|a, b| by_definition(&fixed_point(a, |i, _| i), &fixed_point(b, |_, j| j)));
    assert_eq!(by_rows.false_zeros, 0);
    assert!(!within(by_rows.spans.last().unwrap().1), "{by_rows:?}");
    assert_eq!(by_rows.grade, Grade::B, "{by_rows:?}");
    let by_matrices =
        graded(|a, b| by_definition(&fixed_point(a, |_, _| 0), &fixed_point(b, |_, _| 0)));
    assert_eq!(by_matrices.grade, Grade::C, "{by_matrices:?}");
}

#[test]
fn what_keeps_to_no_bound_gets_none() {
    let graded = graded(|a, b| by_definition(a, b).into_iter().map(|c| 1.01 * c).collect());
    assert_eq!(graded.grade, Grade::None, "{graded:?}");
    let nan = self::graded(|a, _| vec![f64::NAN; a.data.len()]);
    assert_eq!(nan.grade, Grade::None);
    assert_eq!(nan.reasons()[0], "results are infinite or NaN", "{nan:?}");
}

/// Rounded to 127 steps of the largest number, of a row or of all: errors far beyond those of a number
/// that keeps its own 7 bits.
#[test]
fn coarse_operands_have_limits_of_their_own() {
    let coarse = |x: &Matrix| {
        let greatest = x.data.iter().fold(0f32, |m, x| m.max(x.abs()));
        let data = x.data.iter().map(|x| (x / greatest * 127.0).round() * greatest / 127.0);
        Matrix { data: data.collect(), ..*x }
    };
    let limits = Limits { operand_unit: 0.5 / 127.0, ..F32 };
    assert!(!limits.is_vacuous());
    let mut product =
        |a: &Matrix, b: &Matrix| Ok::<_, Infallible>(by_definition(&coarse(a), &coarse(b)));
    let graded = Examiner::new(1).grade(&mut product, limits).unwrap();
    assert_eq!(graded.grade, Grade::C, "{graded:?}");
    assert!(Limits { sum_unit: 1.0 / 256.0, ..limits }.is_vacuous());
}

#[test]
fn the_diagonal_of_the_span_is_x_times_x() {
    let mut random = Philox::from_u64_seed_stream(1, 2);
    let [a, b] = spanning(8, 20, &mut random);
    let squares: f64 =
        a.row(0).iter().zip(b.column(0)).map(|(&x, y)| f64::from(x) * f64::from(y)).sum();
    for i in 0..8 {
        let sum: f64 =
            a.row(i).iter().zip(b.column(i)).map(|(&x, y)| f64::from(x) * f64::from(y)).sum();
        assert!((sum - squares).abs() < 1e-12 * squares, "{i}");
        assert!((8.0..32.0).contains(&sum));
    }
    assert!(a.data.iter().all(|&x| (2f32.powi(-20)..2f32.powi(21)).contains(&x)));
}
