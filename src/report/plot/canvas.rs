//! The surface that figures are drawn on: lines, texts and markers at any place, in the look of print or
//! of the page.

use kuva::render::color::Color;
use kuva::render::render::{PathData, Primitive, Scene, TextAnchor};

use super::text::escape;
use super::{Item, MM};
use crate::report::figure::{Shape, Style};

/// Sizes and colours of what is drawn. Lengths in points.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    /// Width of the whole.
    pub(super) width: f64,
    /// Height of a pair of axes.
    pub(super) height: f64,
    /// Font size of ticks and legend.
    pub(super) tick: u32,
    /// Font size of titles and axis labels.
    pub(super) label: u32,
    /// Radius of a marker.
    pub(super) marker: f64,
    /// Width of a line.
    pub(super) line: f64,
    /// Colour of text and axes.
    pub(super) ink: &'static str,
    /// Colour within hollow markers.
    pub(super) paper: &'static str,
    /// Colour of the grid.
    pub(super) grid: &'static str,
    /// Colour of the frontier.
    pub(super) steps: &'static str,
    /// Marks carry their rows and can be focused.
    pub(super) interactive: bool,
}

/// One column of a paper, 84 mm.
pub(super) const PRINT: Look = Look {
    width: 84.0 / MM,
    height: 112.0,
    tick: 6,
    label: 7,
    marker: 2.3,
    line: 0.8,
    ink: "#000000",
    paper: "#ffffff",
    grid: "#e2e2e2",
    steps: "#8a8a8a",
    interactive: false,
};

/// A card of the page, which scales it.
pub(super) const SCREEN: Look = Look {
    width: 320.0,
    height: 200.0,
    tick: 10,
    label: 11,
    marker: 4.2,
    line: 1.3,
    ink: "currentColor",
    paper: "var(--card)",
    grid: "var(--grid)",
    steps: "var(--steps)",
    interactive: true,
};

/// A rectangle of the scene.
#[derive(Clone, Copy)]
pub(super) struct Area {
    pub(super) left: f64,
    pub(super) top: f64,
    pub(super) right: f64,
    pub(super) bottom: f64,
}

/// What says a mark or a bar in words.
pub(super) type Describe<'a> = Option<&'a dyn Fn(Item) -> String>;

pub(super) struct Canvas {
    pub(super) scene: Scene,
    pub(super) look: Look,
}

impl Canvas {
    pub(super) fn new(look: Look) -> Self {
        let mut scene = Scene::new(look.width, 0.0).with_background(None);
        scene.text_color = Some(look.ink.to_owned());
        scene.font_family = Some("DejaVu Sans, Verdana, sans-serif".to_owned());
        Self { scene, look }
    }

    pub(super) fn finish(mut self, height: f64) -> Scene {
        self.scene.height = height;
        self.scene
    }

    /// Opens a group that lies further right.
    pub(super) fn shift(&mut self, right: f64) {
        let transform = Some(format!("translate({right:.2},0)"));
        self.scene.add(Primitive::GroupStart { transform, title: None, extra_attrs: None });
    }

    pub(super) fn line(&mut self, from: (f64, f64), to: (f64, f64), colour: &str, width: f64) {
        self.path(&[from, to], colour, width, None);
    }

    pub(super) fn path(
        &mut self,
        points: &[(f64, f64)],
        colour: &str,
        width: f64,
        dashes: Option<&str>,
    ) {
        let mut d = String::new();
        for (i, (x, y)) in points.iter().enumerate() {
            d += &format!("{}{x:.2} {y:.2}", if i == 0 { "M" } else { "L" });
        }
        self.scene.add(Primitive::Path(Box::new(PathData {
            d,
            fill: None,
            stroke: Color::from(colour),
            stroke_width: width,
            opacity: None,
            stroke_dasharray: dashes.map(str::to_owned),
        })));
    }

    pub(super) fn text(&mut self, x: f64, y: f64, text: &str, size: u32, anchor: TextAnchor) {
        self.turned(x, y, text, size, anchor, None, false);
    }

    #[allow(clippy::too_many_arguments)] // one primitive, spelt out
    pub(super) fn turned(
        &mut self,
        x: f64,
        y: f64,
        text: &str,
        size: u32,
        anchor: TextAnchor,
        rotate: Option<f64>,
        bold: bool,
    ) {
        // The crate reads `$…$` as mathematics.
        let content = text.replace('$', "\\$");
        let color = Some(Color::from(self.look.ink));
        self.scene.add(Primitive::Text { x, y, content, size, anchor, rotate, bold, color });
    }

    /// Draws a panel with its top at `top`, and returns its height.
    pub(super) fn rectangle(&mut self, area: Area) {
        let Area { left, top, right, bottom } = area;
        let corners = [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)];
        self.path(&corners, self.look.ink, 0.6 * self.look.line, None);
    }

    pub(super) fn colour(&self, style: Style) -> &'static str {
        if style.colour == "#000000" { self.look.ink } else { style.colour }
    }

    /// Opens a group that carries what the page filters and shows; for print there is none.
    pub(super) fn group(&mut self, precision: &str, item: Option<Item>, describe: Describe) {
        if !self.look.interactive {
            return;
        }
        let mut attributes = format!("data-precision=\"{}\"", escape(precision));
        if let Some((item, describe)) = item.zip(describe) {
            let words = escape(&describe(item));
            attributes += &format!(
                " class=\"mark\" data-row=\"{}\" tabindex=\"-1\" role=\"img\" \
                 aria-label=\"{words}\"",
                item.row()
            );
        }
        let extra_attrs = Some(attributes);
        self.scene.add(Primitive::GroupStart { transform: None, title: None, extra_attrs });
    }

    pub(super) fn end_group(&mut self) {
        if self.look.interactive {
            self.scene.add(Primitive::GroupEnd);
        }
    }

    /// A marker whose area is about that of a circle of radius `r`.
    pub(super) fn marker(&mut self, style: Style, x: f64, y: f64, r: f64) {
        let colour = Color::from(self.colour(style));
        let width = 0.9 * self.look.line;
        let r = if style.hollow { r - 0.2 * width } else { r };
        let polygon = |corners: usize, radius: f64, turn: f64| {
            let corner = |i: usize| {
                let angle = std::f64::consts::TAU * (i as f64 / corners as f64 + turn);
                format!("{:.2} {:.2}", x + radius * angle.sin(), y - radius * angle.cos())
            };
            let corners: Vec<String> = (0..corners).map(corner).collect();
            format!("M{}Z", corners.join("L"))
        };
        let d = match style.shape {
            Shape::Circle => format!(
                "M{:.2} {y:.2}A{r:.2} {r:.2} 0 1 0 {:.2} {y:.2}A{r:.2} {r:.2} 0 1 0 {:.2} {y:.2}Z",
                x - r,
                x + r,
                x - r
            ),
            Shape::Square => polygon(4, 1.28 * r, 0.125),
            Shape::Diamond => polygon(4, 1.3 * r, 0.0),
            Shape::Triangle => polygon(3, 1.4 * r, 0.0),
            Shape::TriangleDown => polygon(3, 1.4 * r, 0.5),
            Shape::Pentagon => polygon(5, 1.2 * r, 0.0),
        };
        let (fill, stroke_width) = if style.hollow {
            (Some(Color::from(self.look.paper)), 1.25 * width)
        } else {
            (Some(colour.clone()), 0.4 * width)
        };
        self.scene.add(Primitive::Path(Box::new(PathData {
            d,
            fill,
            stroke: colour,
            stroke_width,
            opacity: None,
            stroke_dasharray: None,
        })));
    }
}
