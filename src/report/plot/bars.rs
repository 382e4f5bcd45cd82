//! Stacked bars: the shares of the causes in the squared error, a row each.

use kuva::render::color::Color;
use kuva::render::render::{Primitive, TextAnchor};

use super::Item;
use super::canvas::{Area, Canvas, Describe};
use super::text::text_width;
use crate::report::figure::{Bar, CAUSES, Panel};

/// Distance of two bars over the size of their text.
const PITCH: f64 = 1.9;
/// Thickness of a bar over the size of its text.
const THICKNESS: f64 = 1.2;

/// Height of the frame about so many bars.
pub(super) fn height(bars: usize, size: f64) -> f64 {
    PITCH * size * bars as f64
}

impl Canvas {
    /// Draws a panel of bars with its top at `top`, and returns its height.
    pub(super) fn bars(&mut self, panel: &Panel, top: f64, describe: Describe) -> f64 {
        let (size, label) = (f64::from(self.look.tick), f64::from(self.look.label));
        let widest = |text: &dyn Fn(&Bar) -> String| {
            panel.bars.iter().map(|bar| text_width(&text(bar), size)).fold(0.0, f64::max)
        };
        let left = widest(&|bar| bar.name.clone()) + 0.8 * size;
        let errors = widest(&Bar::label).max(text_width(&panel.y_label, size));
        let heading = self.title(&panel.title, left.min(8.0 * size), top) + 0.6 * size;
        let frame = Area {
            left,
            top: heading + 0.8 * size,
            right: self.look.width - errors - 1.2 * size,
            bottom: heading + 0.8 * size + height(panel.bars.len(), size),
        };
        let beside = frame.right + 0.6 * size;
        self.text(beside, heading + 0.4 * size, &panel.y_label, self.look.tick, TextAnchor::Start);
        self.percents(&panel.x_label, frame);
        for (row, bar) in panel.bars.iter().enumerate() {
            let middle = frame.top + PITCH * size * (row as f64 + 0.5);
            let base = middle + 0.36 * size;
            self.group(&bar.precision, Some(Item::Bar(bar)), describe);
            self.text(left - 0.4 * size, base, &bar.name, self.look.tick, TextAnchor::End);
            self.stack(bar, frame, middle);
            self.text(beside, base, &bar.label(), self.look.tick, TextAnchor::Start);
            self.end_group();
        }
        self.rectangle(frame);
        frame.bottom + 1.5 * size + 2.0 * label - top
    }

    /// The segments of a bar; of an exact result a word.
    fn stack(&mut self, bar: &Bar, frame: Area, middle: f64) {
        let size = f64::from(self.look.tick);
        let half = 0.5 * THICKNESS * size;
        let Some(shares) = bar.shares() else {
            let x = frame.left + 0.5 * size;
            self.text(x, middle + 0.36 * size, "exact", self.look.tick, TextAnchor::Start);
            return;
        };
        let mut left = frame.left;
        for (cause, share) in shares.into_iter().enumerate() {
            let right = left + share * (frame.right - frame.left);
            if share > 0.0 {
                let (top, bottom) = (middle - half, middle + half);
                self.segment(cause, Area { left, top, right, bottom });
            }
            left = right;
        }
    }

    /// A segment of one of [`CAUSES`].
    pub(super) fn segment(&mut self, cause: usize, area: Area) {
        let Area { left, top, right, bottom } = area;
        self.scene.add(Primitive::Rect {
            x: left,
            y: top,
            width: right - left,
            height: bottom - top,
            fill: Color::from(CAUSES[cause].1.unwrap_or(self.look.paper)),
            stroke: Some(Color::from(self.look.ink)),
            stroke_width: Some(0.5 * self.look.line),
            opacity: None,
        });
    }

    /// A linear axis from 0 to 100, below the frame.
    fn percents(&mut self, label: &str, frame: Area) {
        let (size, line) = (f64::from(self.look.tick), self.look.line);
        for percent in [0, 20, 40, 60, 80, 100] {
            let x = frame.left + f64::from(percent) / 100.0 * (frame.right - frame.left);
            self.path(&[(x, frame.top), (x, frame.bottom)], self.look.grid, 0.5 * line, None);
            let (text, y) = (percent.to_string(), frame.bottom + 1.25 * size);
            self.text(x, y, &text, self.look.tick, TextAnchor::Middle);
        }
        let y = frame.bottom + 1.35 * size + 1.1 * f64::from(self.look.label);
        let middle = (frame.left + frame.right) / 2.0;
        self.text(middle, y, label, self.look.label, TextAnchor::Middle);
    }
}
