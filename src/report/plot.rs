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

mod axes;
mod bars;
mod canvas;
mod key;
mod legend;
mod marks;
mod text;

use kuva::backend::pdf::PdfBackend;
use kuva::backend::svg::SvgBackend;
use kuva::render::render::{Primitive, Scene, TextAnchor};

use super::figure::{Bar, Figure, Mark, Panel, Style};
use axes::{Axes, Scales};
use canvas::{Area, Canvas, Describe, PRINT, SCREEN};
use text::{text_width, wrap};

pub use text::escape;

/// Millimetres in a point.
const MM: f64 = 25.4 / 72.0;

/// Space between two columns of a paper, 6 mm.
const GUTTER: f64 = 6.0 / MM;

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

/// The segment of one of [`CAUSES`](super::figure::CAUSES) alone, for the page's legend.
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

impl Canvas {
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
}
