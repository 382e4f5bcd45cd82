//! Fitted lines, and below a panel the key that tells their exponents.

use kuva::render::render::TextAnchor;

use super::axes::Axes;
use super::canvas::Canvas;
use super::text::text_width;
use crate::report::figure::{Fit, Panel, Series, Style};

/// Height of a line of the key over the size of its text.
const LINE: f64 = 1.5;

/// Height of the key of a panel, its heading included.
pub(super) fn height(panel: &Panel, size: f64) -> f64 {
    LINE * size * (panel.series.len() as f64 + 1.5)
}

impl Canvas {
    /// The lines of theory, and on them those that were fitted, so that theory shows where they differ.
    pub(super) fn fits(&mut self, panel: &Panel, axes: &Axes) {
        let fitted =
            || panel.series.iter().filter_map(|series| Some((series, series.fit.as_ref()?)));
        let placed = |line: [(f64, f64); 2]| line.map(|(x, y)| (axes.x(x), axes.y(y)));
        for (series, fit) in fitted() {
            let Some(line) = fit.theory_line() else { continue };
            self.group(&series.precision, None, None);
            self.path(&placed(line), self.look.steps, 0.8 * self.look.line, None);
            self.end_group();
        }
        for (series, fit) in fitted() {
            self.group(&series.precision, None, None);
            self.stroke(series.style, &placed(fit.line()));
            self.end_group();
        }
    }

    /// A line in the manner of a style.
    fn stroke(&mut self, style: Style, points: &[(f64, f64)]) {
        let line = self.look.line;
        let dashes = style.hollow.then(|| format!("{} {}", 3.0 * line, 2.0 * line));
        let colour = self.colour(style);
        self.path(points, colour, line, dashes.as_deref());
    }

    /// A line for each series, below `top`: marker, name, exponent and that of theory. Returns where
    /// it ends.
    pub(super) fn key(&mut self, panel: &Panel, top: f64) -> f64 {
        let size = f64::from(self.look.tick);
        let exponent = |series: &Series| series.fit.as_ref().map_or("–".to_owned(), Fit::exponent);
        let expected = |series: &Series| series.fit.as_ref().map_or("–".to_owned(), Fit::expected);
        let heads = ["exponent of k, 95 % interval", "theory"];
        let widest = |texts: &mut dyn Iterator<Item = String>| {
            texts.map(|text| text_width(&text, size)).fold(0.0, f64::max)
        };
        let names = widest(&mut panel.series.iter().map(|series| series.name.clone()));
        let exponents = panel.series.iter().map(exponent).chain([heads[0].to_owned()]);
        let exponents = widest(&mut exponents.into_iter());
        let swatch = 2.6 * size;
        let [name, number, theory] = [
            2.0 + swatch,
            2.0 + swatch + names + size,
            2.0 + swatch + names + exponents + 2.0 * size,
        ];
        let start = TextAnchor::Start;
        let base = |row: usize| top + (row as f64 + 0.5) * LINE * size;
        self.text(number, base(0), heads[0], self.look.tick, start);
        self.text(theory, base(0), heads[1], self.look.tick, start);
        for (row, series) in panel.series.iter().enumerate() {
            let y = base(row + 1);
            let middle = y - 0.36 * size;
            self.group(&series.precision, None, None);
            if series.fit.is_some() {
                let x = 2.0 + swatch / 2.0;
                self.stroke(series.style, &[(x - size, middle), (x + size, middle)]);
            }
            self.marker(series.style, 2.0 + swatch / 2.0, middle, self.look.marker);
            self.text(name, y, &series.name, self.look.tick, start);
            self.text(number, y, &exponent(series), self.look.tick, start);
            self.text(theory, y, &expected(series), self.look.tick, start);
            self.end_group();
        }
        top + height(panel, size)
    }
}
