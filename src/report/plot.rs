//! Draws figures as SVG and PDF. The one module that uses the plotting crate.
//!
//! The same figure was drawn with kuva 0.6 and plotters 0.3 and looked at. Neither draws it fit to
//! print. plotters places everything on whole pixels, of which a column of 84 mm has 238, so that
//! markers sit beside their error bars, and it lays its legend over the points. kuva's logarithmic
//! axes end at 1e-10 (what is smaller is drawn there), their minor ticks divide 1–2–5 evenly, all
//! error bars have caps of one length, and long names stick out of the legend. But kuva's scene
//! takes paths and text at any place, and writes them as SVG and as PDF with an embedded font. So
//! axes, marks and legend are placed here, on its scene; one unit of the scene is a point
//! (1/72 inch).

mod bars;
mod key;

use kuva::backend::pdf::PdfBackend;
use kuva::backend::svg::SvgBackend;
use kuva::render::color::Color;
use kuva::render::render::{PathData, Primitive, Scene, TextAnchor};

use super::figure::{Bar, CAUSES, Figure, Mark, Panel, Roof, STRIDE, Series, Shape, Style};
use super::scale::{Scale, Tick, significant, size_label};

/// Millimetres in a point.
const MM: f64 = 25.4 / 72.0;

/// Sizes and colours of what is drawn. Lengths in points.
#[derive(Clone, Copy, Debug)]
struct Look {
    /// Width of the whole.
    width: f64,
    /// Height of a pair of axes.
    height: f64,
    /// Font size of ticks and legend.
    tick: u32,
    /// Font size of titles and axis labels.
    label: u32,
    /// Radius of a marker.
    marker: f64,
    /// Width of a line.
    line: f64,
    /// Colour of text and axes.
    ink: &'static str,
    /// Colour within hollow markers.
    paper: &'static str,
    /// Colour of the grid.
    grid: &'static str,
    /// Colour of the frontier.
    steps: &'static str,
    /// Marks carry their rows and can be focused.
    interactive: bool,
}

/// Space between two columns of a paper, 6 mm.
const GUTTER: f64 = 6.0 / MM;

/// One column of a paper, 84 mm.
const PRINT: Look = Look {
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
const SCREEN: Look = Look {
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

/// The figure as SVG, for print.
pub fn svg(figure: &Figure) -> String {
    let scene = print(figure);
    sized(&SvgBackend::new().render_scene(&scene), &scene, &figure.title, true)
}

/// The figure as PDF, its font embedded.
///
/// # Errors
/// What the PDF writer says.
pub fn pdf(figure: &Figure) -> Result<Vec<u8>, String> {
    PdfBackend::new().render_scene(&print(figure))
}

/// What stands for a row.
#[derive(Clone, Copy, Debug)]
pub enum Item<'a> {
    /// A marker.
    Mark(&'a Mark),
    /// A stacked bar.
    Bar(&'a Bar),
}

impl Item<'_> {
    /// Position of the row in the report's data.
    pub fn row(&self) -> usize {
        match self {
            Self::Mark(mark) => mark.row,
            Self::Bar(bar) => bar.row,
        }
    }
}

/// One panel as SVG for the page: its marks and bars carry `data-row` and can be focused, its colours
/// follow the page. `describe` says one in words.
pub fn panel_svg(figure: &Figure, panel: usize, describe: impl Fn(Item) -> String) -> String {
    let scales = Scales::of(&figure.panels);
    let panel = &figure.panels[panel];
    let mut canvas = Canvas::new(SCREEN);
    let describe: &dyn Fn(Item) -> String = &describe;
    let height = canvas.panel(panel, &scales, 0.0, Some(describe));
    let scene = canvas.finish(height);
    let title = format!("{}, {}", figure.title, panel.title);
    sized(&SvgBackend::new().render_scene(&scene), &scene, &title, false)
}

/// A marker alone, for the page's legend.
pub fn marker_svg(style: Style) -> String {
    let mut canvas = Canvas::new(SCREEN);
    canvas.marker(style, 7.0, 7.0, 4.6);
    alone(canvas)
}

/// The segment of one of [`CAUSES`] alone, for the page's legend.
pub fn cause_svg(cause: usize) -> String {
    let mut canvas = Canvas::new(SCREEN);
    canvas.segment(cause, Area { left: 1.0, top: 2.0, right: 13.0, bottom: 12.0 });
    alone(canvas)
}

fn alone(canvas: Canvas) -> String {
    let mut scene = canvas.finish(14.0);
    scene.width = 14.0;
    let svg = sized(&SvgBackend::new().render_scene(&scene), &scene, "", false);
    svg.replacen(" role=\"img\"", " aria-hidden=\"true\"", 1)
}

fn print(figure: &Figure) -> Scene {
    let scales = Scales::of(&figure.panels);
    let mut canvas = Canvas::new(PRINT);
    let columns = columns(figure);
    let mut top = 0.0;
    for row in figure.panels.chunks(columns) {
        let mut height: f64 = 0.0;
        for (column, panel) in row.iter().enumerate() {
            canvas.shift(column as f64 * (PRINT.width + GUTTER));
            height = height.max(canvas.panel(panel, &scales, top, None));
            canvas.scene.add(Primitive::GroupEnd);
        }
        top += height;
    }
    canvas.look.width += (columns - 1) as f64 * (PRINT.width + GUTTER);
    let height = canvas.legend(figure, top);
    let width = canvas.look.width;
    let mut scene = canvas.finish(height);
    scene.width = width;
    scene.background_color = Some("#ffffff".into());
    scene
}

/// Height of axes with fitted lines over that of others: slopes lie close to each other.
const FITTED: f64 = 1.4;

/// Height of a page, 230 mm, in points.
const PAGE: f64 = 230.0 / MM;

/// Columns of the panels: one as long as a page is long enough, then two.
pub fn columns(figure: &Figure) -> usize {
    let tick = f64::from(PRINT.tick);
    let height = |panel: &Panel| match panel.bars.len() {
        0 if panel.is_fitted() => FITTED * PRINT.height + key::height(panel, tick) + 8.0 * tick,
        0 => 0.0, // four fit
        bars => bars::height(bars, tick) + 8.0 * tick,
    };
    let high = figure.panels.iter().map(height).sum::<f64>() > PAGE;
    if high || figure.panels.len() > 4 { 2 } else { 1 }
}

/// The crate's SVG with a root of its own, which has a size in millimetres, scales, and has a name.
fn sized(svg: &str, scene: &Scene, title: &str, print: bool) -> String {
    let body = svg.split_once('>').map_or("", |(_, body)| body);
    let (width, height) = (scene.width, scene.height);
    let size = match print {
        true => format!(" width=\"{:.2}mm\" height=\"{:.2}mm\"", width * MM, height * MM),
        false => String::new(),
    };
    let title = escape(title);
    let title = if title.is_empty() { title } else { format!("<title>{title}</title>") };
    // A focusable mark inside an image would be hidden from assistive technology.
    let role = if print || title.is_empty() { "img" } else { "group" };
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.2} {height:.2}\"{size} \
         role=\"{role}\" font-family=\"DejaVu Sans, Verdana, sans-serif\">{title}{body}"
    )
}

/// Text for an attribute or an element.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            '\'' => escaped += "&#39;",
            // XML has no other control characters, escaped or not.
            c if c.is_control() && !matches!(c, '\n' | '\t' | '\r') => escaped.push('\u{FFFD}'),
            c => escaped.push(c),
        }
    }
    escaped
}

/// The scales that panels share, so that they can be compared at a glance.
struct Scales {
    x: Scale,
    y: Scale,
}

impl Scales {
    fn of(panels: &[Panel]) -> Self {
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

/// A rectangle of the scene.
#[derive(Clone, Copy)]
struct Area {
    left: f64,
    top: f64,
    right: f64,
    bottom: f64,
}

/// Where the values of a panel lie: on scales, in lanes beside them, or on named rows.
struct Axes<'a> {
    /// Of the frame, lanes included.
    frame: Area,
    /// Of the scales.
    plot: Area,
    scales: &'a Scales,
    names: usize,
    sizes: &'a [f64],
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

    fn x(&self, value: f64) -> f64 {
        let Area { left, right, .. } = self.plot;
        match value {
            v if v == f64::INFINITY => (right + self.frame.right) / 2.0,
            v => left + self.scales.x.position(v).max(0.0) * (right - left),
        }
    }

    fn y(&self, value: f64) -> f64 {
        let Area { top, bottom, .. } = self.plot;
        match value {
            v if self.names > 0 => top + (v + 0.5) / self.names as f64 * (bottom - top),
            v if v <= 0.0 => (bottom + self.frame.bottom) / 2.0,
            v => bottom - self.scales.y.position(v).max(0.0) * (bottom - top),
        }
    }
}

/// What says a mark or a bar in words.
type Describe<'a> = Option<&'a dyn Fn(Item) -> String>;

struct Canvas {
    scene: Scene,
    look: Look,
}

impl Canvas {
    fn new(look: Look) -> Self {
        let mut scene = Scene::new(look.width, 0.0).with_background(None);
        scene.text_color = Some(look.ink.to_owned());
        scene.font_family = Some("DejaVu Sans, Verdana, sans-serif".to_owned());
        Self { scene, look }
    }

    fn finish(mut self, height: f64) -> Scene {
        self.scene.height = height;
        self.scene
    }

    /// Opens a group that lies further right.
    fn shift(&mut self, right: f64) {
        let transform = Some(format!("translate({right:.2},0)"));
        self.scene.add(Primitive::GroupStart { transform, title: None, extra_attrs: None });
    }

    fn line(&mut self, from: (f64, f64), to: (f64, f64), colour: &str, width: f64) {
        self.path(&[from, to], colour, width, None);
    }

    fn path(&mut self, points: &[(f64, f64)], colour: &str, width: f64, dashes: Option<&str>) {
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

    fn text(&mut self, x: f64, y: f64, text: &str, size: u32, anchor: TextAnchor) {
        self.turned(x, y, text, size, anchor, None, false);
    }

    #[allow(clippy::too_many_arguments)] // one primitive, spelt out
    fn turned(
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
    fn panel(&mut self, panel: &Panel, scales: &Scales, top: f64, describe: Describe) -> f64 {
        if !panel.bars.is_empty() {
            return self.bars(panel, top, describe);
        }
        let look = self.look;
        let (tick, label) = (f64::from(look.tick), f64::from(look.label));
        let y_labels: Vec<String> = match panel.y_names.as_slice() {
            [] => scales.y.ticks().into_iter().filter_map(|t| t.label).collect(),
            names => names.to_vec(),
        };
        let widest =
            y_labels.iter().map(|l| text_width(l, tick)).fold(text_width("≤ 0", tick), f64::max);
        let y_title = if panel.y_label.is_empty() { 0.0 } else { 1.5 * label };
        let left = y_title + widest + 0.8 * tick;
        let frame_top = self.title(&panel.title, left, top);
        let frame = Area {
            left,
            top: frame_top,
            right: look.width - 1.2 * tick,
            bottom: frame_top + self.axes_height(panel),
        };
        let names = panel.y_names.len();
        let mut plot = frame;
        if scales.y.floor_lane && names == 0 {
            plot.bottom -= 1.8 * tick;
        }
        if scales.x.never_lane {
            plot.right -= text_width(panel.never, tick) + 0.8 * tick;
        }
        let axes = Axes { frame, plot, scales, names, sizes: &panel.sizes };
        self.x_axis(panel, &axes);
        self.y_axis(panel, &axes);
        self.rectangle(frame);
        self.data(panel, &axes, describe);
        let bottom = frame.bottom + 1.5 * tick + 2.0 * label;
        let bottom = if panel.is_fitted() { self.key(panel, bottom) } else { bottom };
        bottom - top
    }

    /// Writes a panel's title from `left` on, and returns where its frame begins.
    fn title(&mut self, title: &str, left: f64, top: f64) -> f64 {
        let label = f64::from(self.look.label);
        let lines = wrap(title, label, self.look.width - 4.0);
        for (i, line) in lines.iter().enumerate() {
            let y = top + 1.4 * label * (i + 1) as f64;
            self.turned(left, y, line, self.look.label, TextAnchor::Start, None, true);
        }
        top + 1.4 * label * lines.len() as f64 + 0.5 * label
    }

    fn axes_height(&self, panel: &Panel) -> f64 {
        match panel.y_names.len() {
            0 if panel.is_fitted() => FITTED * self.look.height,
            0 => self.look.height,
            names => f64::from(self.look.tick) * 1.9 * names as f64,
        }
    }

    fn rectangle(&mut self, area: Area) {
        let Area { left, top, right, bottom } = area;
        let corners = [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)];
        self.path(&corners, self.look.ink, 0.6 * self.look.line, None);
    }

    fn x_axis(&mut self, panel: &Panel, axes: &Axes) {
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

    fn y_axis(&mut self, panel: &Panel, axes: &Axes) {
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

    fn data(&mut self, panel: &Panel, axes: &Axes, describe: Describe) {
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

    fn colour(&self, style: Style) -> &'static str {
        if style.colour == "#000000" { self.look.ink } else { style.colour }
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

    /// Opens a group that carries what the page filters and shows; for print there is none.
    fn group(&mut self, precision: &str, item: Option<Item>, describe: Describe) {
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

    fn end_group(&mut self) {
        if self.look.interactive {
            self.scene.add(Primitive::GroupEnd);
        }
    }

    /// A marker whose area is about that of a circle of radius `r`.
    fn marker(&mut self, style: Style, x: f64, y: f64, r: f64) {
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

    /// The legend of all panels in as many columns as fit, below `top`; returns where it ends.
    fn legend(&mut self, figure: &Figure, top: f64) -> f64 {
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

/// Size of the markers on a line: those drawn later are smaller, so that curves that lie upon each
/// other are still seen.
fn nested(series: &Series, position: usize, count: usize) -> f64 {
    match series.joined && count > 2 {
        true => 1.2 - 0.55 * position as f64 / (count - 1) as f64,
        false => 1.0,
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

/// Width of a text in the embedded font (DejaVu Sans), rather too wide than too narrow.
fn text_width(text: &str, size: f64) -> f64 {
    let advance = |c: char| match c {
        'i' | 'j' | 'l' | '\'' | '.' | ',' | ' ' | '|' | ':' | '·' => 0.34,
        'f' | 't' | 'r' | '(' | ')' | '-' | '/' | '⁻' => 0.42,
        '⁰'..='⁹' | '¹' | '²' | '³' => 0.42,
        'm' | 'w' | 'M' | 'W' | '@' | '%' => 0.99,
        'A'..='Z' | '=' | '≤' | '+' | '<' | '>' => 0.84,
        c if c.is_ascii() => 0.64,
        _ => 0.9,
    };
    size * text.chars().map(advance).sum::<f64>()
}

/// Breaks a text at spaces into lines of bold text that fit, and cuts what still does not.
fn wrap(text: &str, size: f64, width: f64) -> Vec<String> {
    let fits = |line: &str| 1.1 * text_width(line, size) <= width;
    let mut lines: Vec<String> = vec![];
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if fits(&format!("{line} {word}")) => *line += &format!(" {word}"),
            _ => lines.push(word.to_owned()),
        }
    }
    for line in &mut lines {
        if !fits(line) {
            while line.pop().is_some() && !fits(&format!("{line}…")) {}
            line.push('…');
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_titles_break_and_endless_ones_are_cut() {
        let lines =
            wrap("nvidia-geforce-rtx-4090-vulkan (NVIDIA GeForce RTX 4090, 550.54)", 7.0, 200.0);
        assert!(
            lines.len() > 1 && lines.iter().all(|l| 1.1 * text_width(l, 7.0) <= 200.0),
            "{lines:?}"
        );
        let lines = wrap(&"x".repeat(300), 7.0, 200.0);
        assert!(lines.len() == 1 && lines[0].ends_with('…') && lines[0].len() > 20, "{lines:?}");
    }

    #[test]
    fn text_of_others_cannot_leave_its_attribute() {
        assert_eq!(escape("a\"<b>&'\u{1}"), "a&quot;&lt;b&gt;&amp;&#39;\u{FFFD}");
    }
}
