//! Stacked bars as pgfplots, and their numbers as a table.

use std::fmt::Write;

use super::{LONG_TABLE, escape, foot, number};
use crate::frontier;
use crate::report::data::Data;
use crate::report::figure::{Bar, CAUSES, Figure, Panel};
use crate::report::plot;

/// The figure as a tikzpicture, its panels as high as their bars need.
pub(super) fn picture(figure: &Figure) -> String {
    let columns = plot::columns(figure);
    let rows = figure.panels.len().div_ceil(columns);
    let mut tex = format!(
        "% {}\n% \\usepackage{{pgfplots}} \\usepgfplotslibrary{{groupplots}}\n\
         \\begin{{tikzpicture}}[font=\\scriptsize]\n\
         \\begin{{groupplot}}[group style={{group size={columns} by {rows}, vertical sep=20mm, \
         horizontal sep=50mm}}, width=64mm, xbar stacked, /pgf/bar width=7pt, xmin=0, xmax=100, \
         y dir=reverse, clip=false, tick align=outside, xtick pos=bottom, ytick pos=left, \
         legend columns=-1, \
         legend style={{draw=none, font=\\tiny, at={{(0.5,0)}}, yshift=-9mm, anchor=north}}, \
         title style={{font=\\scriptsize\\bfseries, yshift=-1.5mm}}]\n",
        escape(&figure.title)
    );
    for (_, colour) in CAUSES {
        let Some(colour) = colour.map(|c| c.trim_start_matches('#')) else { continue };
        let _ = writeln!(tex, "\\definecolor{{tradeoff{colour}}}{{HTML}}{{{colour}}}");
    }
    for (position, panel) in figure.panels.iter().enumerate() {
        panel_tex(&mut tex, panel, position + 1 == figure.panels.len());
    }
    tex + "\\end{groupplot}\n\\end{tikzpicture}\n"
}

fn panel_tex(tex: &mut String, panel: &Panel, last: bool) {
    let positions: Vec<String> = (0..panel.bars.len()).map(|row| row.to_string()).collect();
    let names: Vec<String> =
        panel.bars.iter().map(|bar| format!("{{{}}}", escape(&bar.name))).collect();
    let _ = writeln!(
        tex,
        "\\nextgroupplot[title={{{}}}, xlabel={{{}}}, height={}mm, ymin=-0.5, ymax={}.5, \
         ytick={{{}}}, yticklabels={{{}}}]",
        escape(&panel.title),
        escape(&panel.x_label),
        20 + 4 * panel.bars.len(),
        panel.bars.len() - 1,
        positions.join(","),
        names.join(",")
    );
    for (cause, (name, colour)) in CAUSES.iter().enumerate() {
        let fill = colour.map_or("white".to_owned(), |c| format!("tradeoff{}", &c[1..]));
        let share = |(row, bar): (usize, &Bar)| {
            let percent = 100.0 * bar.shares().map_or(0.0, |shares| shares[cause]);
            format!("({percent:.4},{row})")
        };
        let shares: Vec<String> = panel.bars.iter().enumerate().map(share).collect();
        let _ = writeln!(
            tex,
            "\\addplot[draw=black, line width=0.2pt, fill={fill}] coordinates {{{}}};",
            shares.join(" ")
        );
        if last {
            let _ = writeln!(tex, "\\addlegendentry{{{name}}}");
        }
    }
    for (row, bar) in panel.bars.iter().enumerate() {
        let _ = writeln!(
            tex,
            "\\node[anchor=west, font=\\tiny] at (axis cs:100,{row}) {{{}}};",
            label(bar)
        );
    }
}

/// The error, and how far its parts are from independent.
fn label(bar: &Bar) -> String {
    let dependent = bar.dependent.map(|ratio| format!(" $\\dagger$ {}", number(ratio)));
    format!("{}{}", number(bar.error), dependent.unwrap_or_default())
}

/// The parts of each bar and the line of the CSV that they are from.
pub(super) fn table(figure: &Figure, data: &Data) -> String {
    const COLUMNS: usize = 8;
    let count = figure.panels.iter().map(|panel| panel.bars.len()).sum::<usize>();
    let environment = if count > LONG_TABLE { "longtable" } else { "tabular" };
    let mut tex = format!(
        "% {}\n% \\usepackage{{booktabs,longtable}}\n\\begin{{{environment}}}{{@{{}}{}@{{}}}}\n\\toprule\n\
         device & setting & conversion & accumulation & output & error & parts/error & source \\\\\n\
         \\midrule\n{}",
        escape(&figure.title),
        "l".repeat(COLUMNS),
        if count > LONG_TABLE { "\\endhead\n" } else { "" }
    );
    let mut runs: Vec<usize> = vec![];
    for panel in &figure.panels {
        for bar in &panel.bars {
            let (record, source) = (&data.records[bar.row], &data.citations[bar.row]);
            if !runs.contains(&source.run) {
                runs.push(source.run);
            }
            let of = frontier::peer(record).map(|peer| format!(" of {peer}")).unwrap_or_default();
            let ratio = record.parts_over_error.map_or("---".to_owned(), number);
            let [conversion, accumulation, output] = bar.parts.map(number);
            let _ = writeln!(
                tex,
                "{} & {} & {conversion} & {accumulation} & {output} & {} & {ratio} & R{}:{} \\\\",
                escape(&panel.title),
                escape(&format!("{}, {}{of}", bar.name, record.kernel)),
                number(bar.error),
                source.run + 1,
                source.line
            );
        }
    }
    tex + &foot(&runs, COLUMNS, data) + &format!("\\bottomrule\n\\end{{{environment}}}\n")
}
