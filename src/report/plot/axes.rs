//! The axes of a panel: where values lie, and the lines, ticks and labels that tell it.

use kuva::render::render::TextAnchor;

use super::canvas::{Area, Canvas};
use super::text::text_width;
use crate::report::figure::Panel;
use crate::report::scale::{Scale, Tick, size_label};

/// The scales that panels share, so that they can be compared at a glance.
pub(super) struct Scales {
    pub(super) x: Scale,
    pub(super) y: Scale,
}

impl Scales {
    pub(super) fn of(panels: &[Panel]) -> Self {
        let marks = || panels.iter().flat_map(|p| &p.series).flat_map(|s| &s.marks);
        let over_zero = |value: f64| (value > 0.0).then_some(value);
        let xs = marks().flat_map(|mark| {
            let ends = mark.x_interval.map(|i| [over_zero(i.low), over_zero(i.high)]);
            ends.into_iter().flatten().flatten().chain([mark.x])
        });
        let ys = marks().flat_map(|mark| {
            let ends = mark.y_interval.map(|i| [over_zero(i.low), over_zero(i.high)]);
            ends.into_iter().flatten().flatten().chain(mark.bound).chain([mark.y])
        });
        let roofs = || panels.iter().flat_map(|panel| &panel.roofs);
        let xs = xs.chain(panels.iter().flat_map(Panel::reach));
        let ys = ys.chain(roofs().map(|roof| roof.height));
        let ys = ys.chain(panels.iter().flat_map(Panel::fitted));
        Self { x: Scale::of(xs), y: Scale::of(ys) }
    }
}

/// Where the values of a panel lie: on scales, in lanes beside them, or on named rows.
pub(super) struct Axes<'a> {
    /// Of the frame, lanes included.
    pub(super) frame: Area,
    /// Of the scales.
    pub(super) plot: Area,
    pub(super) scales: &'a Scales,
    pub(super) names: usize,
    pub(super) sizes: &'a [f64],
}

impl Axes<'_> {
    /// Where sizes were measured, or as the scale has them.
    fn x_ticks(&self) -> Vec<Tick> {
        let Scale { low, high, .. } = self.scales.x;
        let within = self.sizes.iter().filter(|&&size| low <= size && size <= high);
        let ticks: Vec<Tick> =
            within.map(|&value| Tick { value, label: Some(size_label(value)) }).collect();
        if ticks.is_empty() { self.scales.x.ticks() } else { ticks }
    }

    pub(super) fn x(&self, value: f64) -> f64 {
        let Area { left, right, .. } = self.plot;
        match value {
            v if v == f64::INFINITY => (right + self.frame.right) / 2.0,
            v => left + self.scales.x.position(v).max(0.0) * (right - left),
        }
    }

    pub(super) fn y(&self, value: f64) -> f64 {
        let Area { top, bottom, .. } = self.plot;
        match value {
            v if self.names > 0 => top + (v + 0.5) / self.names as f64 * (bottom - top),
            v if v <= 0.0 => (bottom + self.frame.bottom) / 2.0,
            v => bottom - self.scales.y.position(v).max(0.0) * (bottom - top),
        }
    }
}

impl Canvas {
    pub(super) fn x_axis(&mut self, panel: &Panel, axes: &Axes) {
        let (frame, ink, line) = (axes.frame, self.look.ink, self.look.line);
        let size = f64::from(self.look.tick);
        let mut free_from = f64::NEG_INFINITY;
        for tick in axes.x_ticks() {
            let x = axes.x(tick.value);
            let long = if tick.label.is_some() { 0.5 } else { 0.28 } * size;
            self.line((x, frame.bottom), (x, frame.bottom - long), ink, 0.5 * line);
            let Some(label) = tick.label else { continue };
            self.path(&[(x, frame.top), (x, frame.bottom)], self.look.grid, 0.5 * line, None);
            let half = text_width(&label, size) / 2.0;
            if x - half > free_from && x + half < self.look.width {
                self.text(
                    x,
                    frame.bottom + 1.25 * size,
                    &label,
                    self.look.tick,
                    TextAnchor::Middle,
                );
                free_from = x + half + 0.3 * size;
            }
        }
        if axes.scales.x.never_lane {
            let x = axes.plot.right;
            let dashes = format!("{} {}", 2.0 * line, 2.0 * line);
            self.path(&[(x, frame.top), (x, frame.bottom)], ink, 0.5 * line, Some(&dashes));
            let middle = (x + frame.right) / 2.0;
            self.text(
                middle,
                frame.bottom + 1.25 * size,
                panel.never,
                self.look.tick,
                TextAnchor::Middle,
            );
        }
        let y = frame.bottom + 1.35 * size + 1.1 * f64::from(self.look.label);
        let middle = (axes.plot.left + axes.plot.right) / 2.0;
        self.text(middle, y, &panel.x_label, self.look.label, TextAnchor::Middle);
    }

    pub(super) fn y_axis(&mut self, panel: &Panel, axes: &Axes) {
        let (frame, ink, line) = (axes.frame, self.look.ink, self.look.line);
        let size = f64::from(self.look.tick);
        let (beside, below) = (frame.left - 0.4 * size, 0.36 * size);
        for (row, name) in panel.y_names.iter().enumerate() {
            let y = axes.y(row as f64);
            self.path(&[(frame.left, y), (frame.right, y)], self.look.grid, 0.5 * line, None);
            self.text(beside, y + below, name, self.look.tick, TextAnchor::End);
        }
        let ticks = if panel.y_names.is_empty() { axes.scales.y.ticks() } else { vec![] };
        for tick in ticks {
            let y = axes.y(tick.value);
            let long = if tick.label.is_some() { 0.5 } else { 0.28 } * size;
            self.line((frame.left, y), (frame.left + long, y), ink, 0.5 * line);
            let Some(label) = tick.label else { continue };
            self.path(&[(frame.left, y), (frame.right, y)], self.look.grid, 0.5 * line, None);
            self.text(beside, y + below, &label, self.look.tick, TextAnchor::End);
        }
        if axes.scales.y.floor_lane && panel.y_names.is_empty() {
            let y = axes.plot.bottom;
            let dashes = format!("{} {}", 2.0 * line, 2.0 * line);
            self.path(&[(frame.left, y), (frame.right, y)], ink, 0.5 * line, Some(&dashes));
            self.text(beside, axes.y(0.0) + below, "≤ 0", self.look.tick, TextAnchor::End);
        }
        let middle = (axes.plot.top + axes.plot.bottom) / 2.0;
        let x = 1.05 * f64::from(self.look.label);
        let label = self.look.label;
        self.turned(x, middle, &panel.y_label, label, TextAnchor::Middle, Some(-90.0), false);
    }
}
