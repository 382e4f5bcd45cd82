//! The figures as pgfplots and their data as booktabs tables.

mod bars;
mod fingerprints;

use std::fmt::Write;

use super::data::Data;
use super::figure::{Figure, Fit, Mark, Panel, STRIDE, Series, Shape, Style};
use super::plot;
use super::scale::{self, Scale, significant, size_label};
use crate::frontier::{self, Interval};
use crate::record::Record;

pub use fingerprints::{orders_table, table as fingerprints_table};

/// Rows from which a table is broken over pages.
const LONG_TABLE: usize = 40;
/// Width of a lane for values that have no logarithm, as a factor on its axis.
const LANE: f64 = 3.0;

/// A document with all figures and tables, to look at or to copy from; `fingerprints` if there is that
/// table.
pub fn document(figures: &[Figure], fingerprints: bool) -> String {
    let mut tex = String::from(
        "% Written by tradeoff. Needs pgfplots 1.18, array, booktabs and longtable.\n\
         \\documentclass{article}\n\
         \\usepackage[margin=20mm]{geometry}\n\
         \\usepackage{array,booktabs,longtable,pgfplots}\n\
         \\usepgfplotslibrary{groupplots}\n\
         \\pgfplotsset{compat=1.18}\n\
         \\begin{document}\n",
    );
    for figure in figures {
        let Figure { id, title, caption, .. } = figure;
        let (title, caption) = (escape(title), escape(caption));
        let _ = write!(
            tex,
            "\n\\begin{{figure}}[p]\n\\centering\n\\input{{figures/{id}.tex}}\n\
             \\caption{{{title}. {caption}}}\n\\end{{figure}}\n\\clearpage\n\
             \\section*{{{title}}}\n\\begin{{center}}\\footnotesize\
             \\setlength{{\\tabcolsep}}{{4pt}}\n\
             \\input{{tables/{id}.tex}}\n\\end{{center}}\n\\clearpage\n"
        );
    }
    if fingerprints {
        tex += "\n\\section*{Fingerprints}\n\\input{tables/fingerprints.tex}\n";
    }
    tex + "\\end{document}\n"
}

/// The figure as a tikzpicture of one column's width.
pub fn picture(figure: &Figure) -> String {
    if figure.panels.iter().any(|panel| !panel.bars.is_empty()) {
        return bars::picture(figure);
    }
    let scales = Scales::of(figure);
    let columns = plot::columns(figure);
    // A key of its own below each panel.
    let keys = figure.panels.iter().filter(|panel| panel.is_fitted());
    let keys = keys.map(|panel| panel.series.len()).max().unwrap_or(0);
    let (gap, legend_columns) = if keys > 0 { (25 + 3 * keys, 1) } else { (17, 3) };
    let mut tex = format!(
        "% {}\n% \\usepackage{{pgfplots}} \\usepgfplotslibrary{{groupplots}}\n\
         \\begin{{tikzpicture}}[font=\\scriptsize]\n",
        escape(&figure.title)
    );
    let _ = writeln!(
        tex,
        "\\begin{{groupplot}}[group style={{group size={} by {}, vertical sep={gap}mm, horizontal sep=18mm}}, \
         width=84mm, height=55mm, xmode=log, legend columns={legend_columns}, legend cell align=left, \
         legend style={{draw=none, font=\\tiny, at={{(0.5,-0.32)}}, anchor=north}}, \
         title style={{font=\\scriptsize\\bfseries, yshift=-1.5mm}}, \
         every axis plot/.append style={{mark size=1.6pt}}]",
        columns,
        figure.panels.len().div_ceil(columns)
    );
    for (position, panel) in figure.panels.iter().enumerate() {
        panel_tex(&mut tex, panel, &scales, position + 1 == figure.panels.len());
    }
    tex + "\\end{groupplot}\n\\end{tikzpicture}\n"
}

/// The scales that the panels share, their lanes appended as more of the axis.
struct Scales {
    x: Scale,
    y: Scale,
}

impl Scales {
    fn of(figure: &Figure) -> Self {
        let marks = || figure.panels.iter().flat_map(|p| &p.series).flat_map(|s| &s.marks);
        let ends =
            |i: Option<Interval>| i.map_or([f64::NAN; 2], |i| [i.low, i.high]).map(over_zero);
        let xs = marks().flat_map(|m| ends(m.x_interval).into_iter().chain([m.x]));
        let ys = marks()
            .flat_map(|m| ends(m.y_interval).into_iter().chain([m.y, m.bound.unwrap_or(f64::NAN)]));
        let roofs = || figure.panels.iter().flat_map(|panel| &panel.roofs);
        let xs = xs.chain(figure.panels.iter().flat_map(Panel::reach));
        let ys = ys.chain(roofs().map(|roof| roof.height));
        let ys = ys.chain(figure.panels.iter().flat_map(Panel::fitted));
        Self { x: Scale::of(xs), y: Scale::of(ys) }
    }

    fn x(&self, value: f64) -> f64 {
        if value == f64::INFINITY { self.x.high * LANE.sqrt() } else { value }
    }

    fn y(&self, value: f64, panel: &Panel) -> f64 {
        match panel.y_names.is_empty() && value <= 0.0 {
            true => self.y.low / LANE.sqrt(),
            false => value,
        }
    }
}

/// NaN, which is on no scale, where there is no logarithm.
fn over_zero(value: f64) -> f64 {
    if value > 0.0 { value } else { f64::NAN }
}

fn panel_tex(tex: &mut String, panel: &Panel, scales: &Scales, last: bool) {
    let Panel { title, x_label, y_label, .. } = panel;
    let x_max = if scales.x.never_lane { scales.x.high * LANE } else { scales.x.high };
    let y_min = if scales.y.floor_lane { scales.y.low / LANE } else { scales.y.low };
    let _ = write!(
        tex,
        "\\nextgroupplot[title={{{}}}, xlabel={{{}}}, xmin={:e}, xmax={x_max:e}",
        escape(title),
        escape(x_label),
        scales.x.low
    );
    if !panel.sizes.is_empty() {
        let sizes: Vec<String> = panel.sizes.iter().map(|&size| size_label(size)).collect();
        let sizes = sizes.join(",");
        let _ = write!(tex, ", xtick={{{sizes}}}, xticklabels={{{sizes}}}");
    }
    if scales.x.never_lane {
        let _ = write!(
            tex,
            ", extra x ticks={{{:e}}}, extra x tick labels={{{}}}",
            scales.x(f64::INFINITY),
            panel.never
        );
    }
    if panel.y_names.is_empty() {
        let _ = write!(
            tex,
            ", ylabel={{{}}}, ymode=log, ymin={y_min:e}, ymax={:e}",
            escape(y_label),
            scales.y.high
        );
        if scales.y.floor_lane {
            let at = scales.y(0.0, panel);
            let _ = write!(tex, ", extra y ticks={{{at:e}}}, extra y tick labels={{$\\leq 0$}}");
        }
    } else {
        let ticks: Vec<String> = (0..panel.y_names.len()).map(|i| i.to_string()).collect();
        let names: Vec<String> =
            panel.y_names.iter().map(|n| format!("{{{}}}", escape(n))).collect();
        let _ = write!(
            tex,
            ", y dir=reverse, ymin=-0.5, ymax={}.5, ytick={{{}}}, yticklabels={{{}}}, ymajorgrids",
            panel.y_names.len() - 1,
            ticks.join(","),
            names.join(",")
        );
    }
    *tex += "]\n";
    frontier_tex(tex, panel, scales);
    roofs_tex(tex, panel, scales);
    let legend = (last && panel.y_names.is_empty()) || panel.is_fitted();
    for (position, series) in panel.series.iter().enumerate() {
        let first = series.first_marked(position, panel.series.len());
        let marked = first.map(|first| {
            format!(", mark repeat={STRIDE}, mark phase={}", first + 1) // counted from 1
        });
        series_tex(tex, series, panel, scales, (marked.unwrap_or_default(), legend));
    }
}

/// Theory's line and the fitted one on it, as `plot/key.rs` draws them.
fn fit_tex(tex: &mut String, fit: &Fit, colour: &str, hollow: bool) {
    let way = |line: [(f64, f64); 2]| line.map(|(x, y)| format!("({x:e},{y:e})")).join(" ");
    if let Some(line) = fit.theory_line() {
        let _ = writeln!(
            tex,
            "\\addplot[black!50, mark=none, forget plot] coordinates {{{}}};",
            way(line)
        );
    }
    let dash = if hollow { "dashed" } else { "solid" };
    let _ = writeln!(
        tex,
        "\\addplot[{colour}, {dash}, thick, mark=none, forget plot] coordinates {{{}}};",
        way(fit.line())
    );
}

/// Steps, as `plot.rs` draws them.
fn frontier_tex(tex: &mut String, panel: &Panel, scales: &Scales) {
    let Some(&(fastest, _)) = panel.frontier.first() else { return };
    let mut way = vec![(fastest, scales.y.high)];
    for &(x, y) in &panel.frontier {
        let before = way.last().map_or(y, |&(_, y)| y);
        way.extend([(x, before), (x, scales.y(y, panel))]);
    }
    way.extend(way.last().map(|&(_, y)| (scales.x.low, y)));
    let way: Vec<String> = way.iter().map(|(x, y)| format!("({x:e},{y:e})")).collect();
    let _ = writeln!(
        tex,
        "\\addplot[black!50, thick, mark=none, forget plot] coordinates {{{}}};",
        way.join(" ")
    );
}

/// Lines with their names, as `plot.rs` draws them.
fn roofs_tex(tex: &mut String, panel: &Panel, scales: &Scales) {
    for roof in &panel.roofs {
        let corners = roof.corners([scales.x.low, scales.x.high], scales.y.low);
        let way: Vec<String> = corners.iter().map(|(x, y)| format!("({x:e},{y:e})")).collect();
        let end =
            if roof.slope.is_some() { "1, anchor=south east" } else { "0, anchor=south west" };
        let _ = writeln!(
            tex,
            "\\addplot[black!50, mark=none, forget plot] coordinates {{{}}} \
             node[pos={end}, inner sep=1pt, font=\\tiny] {{{} {}}};",
            way.join(" "),
            escape(&roof.name),
            number(roof.height)
        );
    }
}

/// `marked` says which of the points have markers.
fn series_tex(
    tex: &mut String,
    series: &Series,
    panel: &Panel,
    scales: &Scales,
    (marked, legend): (String, bool),
) {
    let Style { colour, shape, hollow } = series.style;
    let name = format!("tradeoff{}", colour.trim_start_matches('#'));
    let _ = writeln!(tex, "\\definecolor{{{name}}}{{HTML}}{{{}}}", colour.trim_start_matches('#'));
    let (mark, turn) = match shape {
        Shape::Circle => (if hollow { "o" } else { "*" }, ""),
        Shape::Square => (if hollow { "square" } else { "square*" }, ""),
        Shape::Triangle => (if hollow { "triangle" } else { "triangle*" }, ""),
        Shape::TriangleDown => (if hollow { "triangle" } else { "triangle*" }, "rotate=180, "),
        Shape::Diamond => (if hollow { "diamond" } else { "diamond*" }, ""),
        Shape::Pentagon => (if hollow { "pentagon" } else { "pentagon*" }, ""),
    };
    let line = match (series.joined, hollow) {
        (false, _) => "only marks",
        (true, false) => "solid",
        (true, true) => "dashed",
    };
    if let Some(fit) = &series.fit {
        fit_tex(tex, fit, &name, hollow);
    }
    for minor in [true, false] {
        let marks: Vec<&Mark> = series.marks.iter().filter(|m| m.minor == minor).collect();
        if marks.is_empty() {
            continue;
        }
        let small = if minor { ", mark size=0.9pt, forget plot" } else { "" };
        let _ = writeln!(
            tex,
            "\\addplot+[{name}, {line}, mark={mark}, \
             mark options={{{turn}solid, {name}, fill={name}}}{small}{marked}, \
             error bars/.cd, x dir=both, x explicit, y dir=both, y explicit] \
             table[x=x, y=y, x error minus=xm, x error plus=xp, y error minus=ym, \
             y error plus=yp] {{\n\
             x y xm xp ym yp"
        );
        for mark in marks {
            let (x, y) = (scales.x(mark.x), scales.y(mark.y, panel));
            let [xm, xp] = offsets(mark.x_interval, mark.x);
            let [ym, yp] = offsets(mark.y_interval, mark.y);
            let _ = writeln!(tex, "{x:e} {y:e} {xm:e} {xp:e} {ym:e} {yp:e}");
        }
        *tex += "};\n";
    }
    let bounds = series.marks.iter().filter(|mark| !mark.minor);
    let bounds: Vec<String> =
        bounds.filter_map(|mark| Some(format!("({:e},{:e})", mark.x, mark.bound?))).collect();
    if !bounds.is_empty() {
        let _ = writeln!(
            tex,
            "\\addplot[{name}, only marks, mark=-, mark size=2.2pt, thick, forget plot] \
             coordinates {{{}}};",
            bounds.join(" ")
        );
    }
    if legend {
        let fit = series.fit.as_ref();
        let told = fit.map(|fit| format!(": {}; theory {}", fit.exponent(), fit.expected()));
        let _ = writeln!(
            tex,
            "\\addlegendentry{{{}}}",
            escape(&format!("{}{}", series.name, told.unwrap_or_default()))
        );
    }
}

/// Lengths of an error bar below and above its value.
fn offsets(interval: Option<Interval>, value: f64) -> [f64; 2] {
    match interval {
        Some(Interval { low, high }) if value.is_finite() => [value - low, high - value],
        _ => [0.0, 0.0],
    }
}

/// The data of the figure: a row a point, with the line of the CSV that it is from. `R1:12` is line
/// 12 of the file that the table's foot calls R1.
pub fn table(figure: &Figure, data: &Data) -> String {
    if figure.panels.iter().any(|panel| !panel.bars.is_empty()) {
        return bars::table(figure, data);
    }
    let marks = || figure.panels.iter().flat_map(|p| &p.series).flat_map(|s| &s.marks);
    let columns = Columns {
        y: figure.panels[0].y_names.is_empty(),
        bound: marks().any(|mark| mark.bound.is_some()),
    };
    let count = 4 + usize::from(columns.y) + usize::from(columns.bound);
    let long = marks().count() > LONG_TABLE;
    let environment = if long { "longtable" } else { "tabular" };
    let mut tex = format!(
        "% {}\n% \\usepackage{{booktabs,longtable}}\n\\begin{{{environment}}}{{{}}}\n{}",
        escape(&figure.title),
        "l".repeat(count),
        columns.header(&figure.panels[0])
    );
    if long {
        tex += "\\endhead\n";
    }
    let mut runs: Vec<usize> = vec![];
    for panel in &figure.panels {
        for series in &panel.series {
            for mark in &series.marks {
                let run = data.citations[mark.row].run;
                if !runs.contains(&run) {
                    runs.push(run);
                }
                tex += &columns.row(panel, series, mark, data);
            }
        }
    }
    tex += &fits(figure, count);
    tex += &foot(&runs, count, data);
    tex + &format!("\\bottomrule\n\\end{{{environment}}}\n")
}

/// The exponents of the fitted lines, a line each.
fn fits(figure: &Figure, columns: usize) -> String {
    let mut tex = String::new();
    for panel in &figure.panels {
        for series in &panel.series {
            let Some(fit) = &series.fit else { continue };
            let (name, exponent, theory) = (&series.name, fit.exponent(), fit.expected());
            let text =
                format!("{}, {name}: exponent of k {exponent}, theory {theory}", panel.title);
            let _ = writeln!(tex, "\\multicolumn{{{columns}}}{{l}}{{{}}} \\\\", escape(&text));
        }
    }
    if tex.is_empty() { tex } else { format!("\\midrule\n{tex}") }
}

/// The files that R1, R2, … of a table are.
fn foot(runs: &[usize], columns: usize, data: &Data) -> String {
    let mut tex = "\\midrule\n".to_owned();
    for &run in runs {
        let file = data.citations.iter().find(|c| c.run == run).map_or("", |c| c.file.as_str());
        let _ =
            writeln!(tex, "\\multicolumn{{{columns}}}{{l}}{{R{}: {}}} \\\\", run + 1, escape(file));
    }
    tex
}

/// The columns that a table has besides device, setting, x and source.
struct Columns {
    y: bool,
    bound: bool,
}

impl Columns {
    fn header(&self, panel: &Panel) -> String {
        let mut cells = vec!["device".to_owned(), "setting".to_owned(), escape(&panel.x_label)];
        cells.extend(self.y.then(|| escape(&panel.y_label)));
        cells.extend(self.bound.then(|| "bound".to_owned()));
        cells.push("source".to_owned());
        format!("\\toprule\n{} \\\\\n\\midrule\n", cells.join(" & "))
    }

    fn row(&self, panel: &Panel, series: &Series, mark: &Mark, data: &Data) -> String {
        let value = |value: f64, interval: Option<Interval>| {
            let ends = interval.map(|i| format!(" [{}, {}]", number(i.low), number(i.high)));
            format!("{}{}", number(value), ends.unwrap_or_default())
        };
        let named = panel.y_names.get(mark.y as usize).filter(|_| !self.y);
        let setting = named.unwrap_or(&series.name);
        let source = &data.citations[mark.row];
        let record = &data.records[mark.row];
        let Record { kernel, learning_rate, .. } = record;
        let of = frontier::peer(record).map(|peer| format!(" of {peer}")).unwrap_or_default();
        let rate = learning_rate.filter(|_| !setting.contains('α'));
        let rate = rate.map(|value| format!(", α = {}", scale::rate(value))).unwrap_or_default();
        let mut cells = vec![
            escape(&panel.title),
            escape(&format!("{setting}{rate}, {kernel}{of}")),
            match mark.x.is_finite() {
                true => value(mark.x, mark.x_interval),
                false => panel.never.to_owned(),
            },
        ];
        cells.extend(self.y.then(|| value(mark.y, mark.y_interval)));
        let bound = || mark.bound.map_or_else(|| "---".to_owned(), number);
        cells.extend(self.bound.then(bound));
        cells.push(format!("R{}:{}", source.run + 1, source.line));
        format!("{} \\\\\n", cells.join(" & "))
    }
}

/// Three significant digits: `$2.91\cdot10^{-7}$`.
fn number(value: f64) -> String {
    let text = significant(value, 3);
    let Some((mantissa, _)) = text.split_once('·') else { return text };
    let exponent = format!("{value:.2e}");
    let exponent = exponent.split_once('e').map_or("0", |(_, exponent)| exponent);
    format!("${mantissa}\\cdot10^{{{exponent}}}$")
}

/// Text of others for LaTeX. What the fonts of a plain document lack becomes a question mark.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => escaped += "\\textbackslash{}",
            '{' | '}' | '$' | '&' | '#' | '_' | '%' => {
                escaped.push('\\');
                escaped.push(c);
            }
            '~' => escaped += "\\textasciitilde{}",
            '^' => escaped += "\\textasciicircum{}",
            '<' => escaped += "\\textless{}",
            '>' => escaped += "\\textgreater{}",
            '|' => escaped += "\\textbar{}",
            '"' => escaped += "\\textquotedbl{}",
            'α' => escaped += "$\\alpha$",
            'μ' => escaped += "$\\mu$",
            '·' => escaped += "$\\cdot$",
            '×' => escaped += "$\\times$",
            '≤' => escaped += "$\\leq$",
            '−' => escaped += "$-$",
            '–' => escaped += "--",
            '½' => escaped += "1/2",
            '†' => escaped += "$\\dagger$",
            '⁻' => escaped += "$^{-}$",
            '⁰'..='⁹' | '¹' | '²' | '³' => {
                let digit = "⁰¹²³⁴⁵⁶⁷⁸⁹".chars().position(|s| s == c).unwrap_or_default();
                let _ = write!(escaped, "$^{digit}$");
            }
            c if c.is_ascii_graphic() || c == ' ' => escaped.push(c),
            c if c.is_alphabetic() && (c as u32) < 0x180 => escaped.push(c),
            c if c.is_whitespace() => escaped.push(' '),
            _ => escaped.push('?'),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_is_a_command() {
        assert_eq!(escape("a_b\\input{x}%&"), "a\\_b\\textbackslash{}input\\{x\\}\\%\\&");
        assert_eq!(escape("D8M8-SR"), "D8M8-SR");
        assert_eq!(escape("10⁻⁷ μs, α\n漢"), "10$^{-}$$^7$ $\\mu$s, $\\alpha$ ?");
        // Whatever the text, braces balance and nothing starts a command of its own.
        let odd: String = (0..0x3000).filter_map(char::from_u32).collect();
        let escaped = escape(&odd);
        let unescaped = escaped.replace("\\{", "").replace("\\}", "");
        assert_eq!(unescaped.matches('{').count(), unescaped.matches('}').count());
        assert!(!escaped.contains('\n'));
    }

    #[test]
    fn numbers_are_mathematics() {
        assert_eq!(number(2.9091e-7), "$2.91\\cdot10^{-7}$");
        assert_eq!(number(240.4), "240");
    }
}
