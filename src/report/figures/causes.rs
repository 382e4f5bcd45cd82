//! Error by cause: conversion of the operands, accumulation, rounding of the output, as stacked bars.

use super::super::data::Data;
use super::super::figure::{Bar, Figure};
use super::{Axes, Content, Setting, figure, groups, panels, rank, under};
use crate::frontier::{self, Frontier};
use crate::record::Record;

/// Distance of `parts_over_error` from 1 from which on the parts are said not to be independent. Of
/// three independent ones chance leaves 10/√N of its square, see [`Parts`](crate::error::Parts), and half
/// of that of itself: less from N = 10,000 entries on.
const FAR: f64 = 0.05;

pub(super) fn error_by_cause(data: &Data) -> Vec<Figure> {
    let settings: Vec<Setting> = Setting::all(data).filter(|s| parts(s.record).is_some()).collect();
    let figures = groups(&settings, |s| {
        let Frontier { workload, problem, conditions, .. } = s.frontier;
        [workload, problem, conditions].map(String::as_str)
    });
    let figures = figures.into_iter().filter_map(|([workload, problem, conditions], settings)| {
        let axes =
            Axes { x: "share of the squared error (%)".into(), y: "relative error".to_owned() };
        let panels = panels(&settings, &axes, |settings| {
            let (shape, settings) = largest(settings)?;
            let bars = settings.iter().filter_map(bar).collect();
            let content = Content { bars, what: format!(", {shape}"), ..Content::default() };
            (content.bars.len() > 1).then_some(content)
        });
        let dependent = panels.iter().flat_map(|p| &p.bars).any(|bar| bar.dependent.is_some());
        figure(
            &["error-causes", workload, problem, conditions],
            format!("{workload}, {problem} inputs{}: error by cause", under(conditions)),
            caption(dependent),
            panels,
        )
    });
    figures.collect()
}

/// Conversion, accumulation and rounding of the output, with the error of which they are parts.
fn parts(record: &Record) -> Option<([f64; 3], f64)> {
    let Record { conversion_error, accumulation_error, output_rounding_error, .. } = record;
    let parts = [(*conversion_error)?, (*accumulation_error)?, (*output_rounding_error)?];
    let error = record.relative_frobenius?;
    let finite = parts.iter().chain([&error]).all(|part| part.is_finite() && *part >= 0.0);
    finite.then_some((parts, error))
}

/// The size at which most settings were measured, of equals the largest, and of each setting there
/// the fastest kernel, one of this crate's if there is one.
fn largest<'a>(settings: &[Setting<'a>]) -> Option<(&'a str, Vec<Setting<'a>>)> {
    let shapes = groups(settings, |s| s.frontier.shape.as_str()).into_iter();
    let shapes = shapes.map(|(shape, settings)| {
        let mut named = groups(&settings, |s| s.name());
        // Points are sorted by speed, so the first is the fastest.
        named.iter_mut().for_each(|(_, of)| of.sort_by_key(|s| frontier::peer(s.record).is_some()));
        named.sort_by_key(|(_, of)| rank(of[0].record));
        (shape, named.into_iter().map(|(_, of)| of[0]).collect::<Vec<_>>())
    });
    shapes.max_by_key(|(_, settings)| {
        (settings.len(), settings.iter().filter_map(|s| s.record.operations).max())
    })
}

fn bar(setting: &Setting) -> Option<Bar> {
    let (parts, error) = parts(setting.record)?;
    let far = |ratio: &f64| (ratio - 1.0).abs() > FAR;
    Some(Bar {
        name: setting.name(),
        precision: setting.record.precision.clone(),
        row: setting.point.row,
        error,
        parts,
        dependent: setting.record.parts_over_error.filter(far),
    })
}

fn caption(dependent: bool) -> String {
    let mut caption = "What makes the error of each setting, at the size at which most were \
                       measured, with its fastest kernel. The parts add up in squares: a segment is \
                       the square of a part over the sum of the three squares, so one of 1 % is a \
                       part of a tenth of the error. Behind a bar stands the relative error \
                       (Frobenius)."
        .to_owned();
    if dependent {
        caption += " A cross stands before the root of the sum of the squares over the error where \
                    it is more than 5 % from 1: there the parts are not independent, and their \
                    shares say less.";
    }
    caption
}
