//! The data of a panel: curves, markers with their error bars, the frontier and the roofs.

use kuva::render::render::TextAnchor;

use super::Item;
use super::axes::Axes;
use super::canvas::{Canvas, Describe};
use super::text::text_width;
use crate::report::figure::{Mark, Panel, Roof, STRIDE, Series, Style};
use crate::report::scale::{Scale, significant};

impl Canvas {
    pub(super) fn data(&mut self, panel: &Panel, axes: &Axes, describe: Describe) {
        if !panel.frontier.is_empty() {
            self.frontier(&panel.frontier, axes);
        }
        self.roofs(&panel.roofs, axes);
        self.fits(panel, axes);
        for series in &panel.series {
            let points: Vec<(f64, f64)> =
                series.marks.iter().map(|mark| (axes.x(mark.x), axes.y(mark.y))).collect();
            if series.joined && points.len() > 1 {
                let dashes = series
                    .style
                    .hollow
                    .then(|| format!("{} {}", 3.0 * self.look.line, 2.0 * self.look.line));
                let colour = self.colour(series.style);
                self.group(&series.precision, None, None);
                self.path(&points, colour, self.look.line, dashes.as_deref());
                self.end_group();
            }
        }
        // Small marks first, so that no other hides the best of a setting.
        for minor in [true, false] {
            for (position, series) in panel.series.iter().enumerate() {
                let size = self.look.marker
                    * if minor { 0.55 } else { nested(series, position, panel.series.len()) };
                let first = series.first_marked(position, panel.series.len());
                let marked = |i: usize| first.is_none_or(|first| i % STRIDE == first);
                let marks = series.marks.iter().enumerate().filter(|(i, _)| marked(*i));
                for (_, mark) in marks.filter(|(_, mark)| mark.minor == minor) {
                    self.group(&series.precision, Some(Item::Mark(mark)), describe);
                    self.mark(series.style, mark, size, axes);
                    self.end_group();
                }
            }
        }
    }

    /// Steps: of two neighbours the corner lies where the slower one's speed meets the faster one's
    /// error, for at that speed no less error is to be had. It goes on to the frame at both ends.
    fn frontier(&mut self, corners: &[(f64, f64)], axes: &Axes) {
        let mut way: Vec<(f64, f64)> = vec![];
        for (i, &(x, y)) in corners.iter().enumerate() {
            let before = if i == 0 { axes.frame.top } else { way[way.len() - 1].1 };
            way.extend([(axes.x(x), before), (axes.x(x), axes.y(y))]);
        }
        way.extend(way.last().map(|&(_, y)| (axes.frame.left, y)));
        self.path(&way, self.look.steps, 1.1 * self.look.line, None);
    }

    /// Lines, the name and height of each above its end; beside that of another where the two would
    /// overlap.
    fn roofs(&mut self, roofs: &[Roof], axes: &Axes) {
        let size = f64::from(self.look.tick);
        let Scale { low, high, .. } = axes.scales.x;
        let mut rising: Vec<&Roof> = roofs.iter().collect();
        rising.sort_by(|a, b| a.height.total_cmp(&b.height));
        let mut taken: Vec<(f64, f64)> = vec![];
        for roof in rising {
            let corners = roof.corners([low, high], axes.scales.y.low);
            let way: Vec<(f64, f64)> =
                corners.iter().map(|&(x, y)| (axes.x(x), axes.y(y))).collect();
            self.path(&way, self.look.steps, 0.9 * self.look.line, None);
            let label = format!("{} {}", roof.name, significant(roof.height, 3));
            let y = axes.y(roof.height) - 0.35 * size;
            let near = taken.iter().filter(|(other, _)| (other - y).abs() < 1.1 * size);
            let beside = near.map(|&(_, width)| width).fold(0.4 * size, f64::max);
            let width = text_width(&label, size);
            if beside + width > axes.plot.right - axes.plot.left {
                continue;
            }
            // Large sizes are where kernels come near a level roof.
            let (x, anchor) = match roof.slope {
                Some(_) => (axes.plot.right - beside, TextAnchor::End),
                None => (axes.plot.left + beside, TextAnchor::Start),
            };
            self.text(x, y, &label, self.look.tick, anchor);
            taken.push((y, beside + width + 0.8 * size));
        }
    }

    fn mark(&mut self, style: Style, mark: &Mark, size: f64, axes: &Axes) {
        let (x, y) = (axes.x(mark.x), axes.y(mark.y));
        let (colour, width) = (self.colour(style), 0.8 * self.look.line);
        let cap = 0.75 * self.look.marker;
        if let Some(interval) = mark.x_interval {
            let (low, high) = (axes.x(interval.low), axes.x(interval.high));
            self.line((low, y), (high, y), colour, width);
            for end in [low, high] {
                self.line((end, y - cap), (end, y + cap), colour, width);
            }
        }
        if let Some(interval) = mark.y_interval {
            let (low, high) = (axes.y(interval.low), axes.y(interval.high));
            self.line((x, low), (x, high), colour, width);
            for end in [low, high] {
                self.line((x - cap, end), (x + cap, end), colour, width);
            }
        }
        if let Some(bound) = mark.bound.filter(|_| !mark.minor) {
            let (y, half) = (axes.y(bound), 1.3 * self.look.marker);
            self.line((x - half, y), (x + half, y), colour, 1.3 * self.look.line);
        }
        self.marker(style, x, y, size);
    }
}

/// Size of the markers on a line: those drawn later are smaller, so that curves that lie upon each
/// other are still seen.
fn nested(series: &Series, position: usize, count: usize) -> f64 {
    match series.joined && count > 2 {
        true => 1.2 - 0.55 * position as f64 / (count - 1) as f64,
        false => 1.0,
    }
}
