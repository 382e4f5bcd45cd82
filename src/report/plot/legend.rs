//! The legend of a figure, below its panels.

use kuva::render::render::TextAnchor;

use super::canvas::{Area, Canvas};
use super::text::text_width;
use crate::report::figure::{CAUSES, Figure, Shape, Style};

impl Canvas {
    /// The legend of all panels in as many columns as fit, below `top`; returns where it ends.
    pub(super) fn legend(&mut self, figure: &Figure, top: f64) -> f64 {
        let size = f64::from(self.look.tick);
        let entries = legend_entries(figure);
        let swatch = 2.6 * size;
        let column =
            entries.iter().map(|e| text_width(e.name(), size)).fold(0.0, f64::max) + swatch + size;
        let columns = ((self.look.width / column) as usize).clamp(1, entries.len().max(1));
        let rows = entries.len().div_ceil(columns);
        let left = (self.look.width - columns as f64 * column + size) / 2.0;
        for (i, entry) in entries.iter().enumerate() {
            // Down the columns, so that precisions of one family stand together.
            let (row, col) = (i % rows.max(1), i / rows.max(1));
            let x = left.max(2.0) + col as f64 * column;
            let y = top + (row as f64 + 0.9) * 1.5 * size;
            self.swatch(entry, x + swatch / 2.0, y, size);
            self.text(x + swatch, y + 0.36 * size, entry.name(), self.look.tick, TextAnchor::Start);
        }
        top + (rows as f64 + 0.6) * 1.5 * size
    }

    fn swatch(&mut self, entry: &Entry, x: f64, y: f64, size: f64) {
        let (ink, line) = (self.look.ink, self.look.line);
        match entry {
            Entry::Series { style, joined, .. } => {
                if *joined {
                    let dashes = style.hollow.then(|| format!("{} {}", 3.0 * line, 2.0 * line));
                    let colour = self.colour(*style);
                    self.path(&[(x - size, y), (x + size, y)], colour, line, dashes.as_deref());
                }
                self.marker(*style, x, y, self.look.marker);
            }
            Entry::Frontier => {
                let steps = self.look.steps;
                self.path(&[(x - size, y), (x + size, y)], steps, 1.1 * line, None);
            }
            Entry::Bound => {
                let half = 1.3 * self.look.marker;
                self.line((x - half, y), (x + half, y), ink, 1.3 * line);
            }
            Entry::Minor => {
                let style = Style { colour: "#000000", shape: Shape::Circle, hollow: false };
                self.marker(style, x, y, 0.55 * self.look.marker);
            }
            Entry::Theory => {
                self.path(&[(x - size, y), (x + size, y)], self.look.steps, line, None);
            }
            Entry::Cause(cause) => {
                let (half, high) = (0.9 * size, 0.45 * size);
                let area =
                    Area { left: x - half, top: y - high, right: x + half, bottom: y + high };
                self.segment(*cause, area);
            }
        }
    }
}

/// One entry of a legend.
enum Entry {
    Series {
        name: String,
        style: Style,
        joined: bool,
    },
    Frontier,
    Bound,
    Minor,
    Theory,
    /// Position in [`CAUSES`].
    Cause(usize),
}

impl Entry {
    fn name(&self) -> &str {
        match self {
            Self::Series { name, .. } => name,
            Self::Frontier => "frontier",
            Self::Bound => "bound",
            Self::Minor => "other kernel or rate",
            Self::Theory => "exponent of theory",
            Self::Cause(cause) => CAUSES[*cause].0,
        }
    }
}

fn legend_entries(figure: &Figure) -> Vec<Entry> {
    let mut entries: Vec<Entry> = vec![];
    // Where rows are named, the names are the legend; a panel with a key needs none.
    let legible = figure.panels.iter().filter(|p| p.y_names.is_empty() && !p.is_fitted());
    for series in legible.flat_map(|panel| &panel.series) {
        if !entries.iter().any(|entry| entry.name() == series.name) {
            let (name, style, joined) = (series.name.clone(), series.style, series.joined);
            entries.push(Entry::Series { name, style, joined });
        }
    }
    let marks = || figure.panels.iter().flat_map(|p| &p.series).flat_map(|s| &s.marks);
    if figure.panels.iter().any(|panel| !panel.frontier.is_empty()) {
        entries.push(Entry::Frontier);
    }
    let mut fits = figure.panels.iter().flat_map(|p| &p.series).filter_map(|s| s.fit.as_ref());
    if fits.any(|fit| fit.theory.is_some()) {
        entries.push(Entry::Theory);
    }
    if marks().any(|mark| mark.bound.is_some()) {
        entries.push(Entry::Bound);
    }
    if figure.panels.iter().any(|panel| !panel.bars.is_empty()) {
        entries.extend((0..CAUSES.len()).map(Entry::Cause));
    }
    if marks().any(|mark| mark.minor) {
        entries.push(Entry::Minor);
    }
    entries
}
