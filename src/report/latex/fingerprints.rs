//! Fingerprints side by side as a table: what tells the devices apart, and in which order their kernels sum.

use super::escape;
use crate::fingerprint::kernels::TERMS;
use crate::report::fingerprints::{Line, SideBySide};
use crate::report::orders::Orders;

/// A longtable of the properties that differ, a column for each group of devices that answered the
/// same, and in its foot how many are alike. `None` without a fingerprint.
pub fn table(fingerprints: &SideBySide) -> Option<String> {
    let SideBySide { columns, hashes, differing, alike, partial } = fingerprints;
    if columns.is_empty() {
        return None;
    }
    let rows: String = differing.iter().map(row).collect();
    let told = match (differing.len(), partial) {
        (0, _) => "no property tells them apart; ".to_owned(),
        (_, 0) => String::new(),
        (_, partial) => format!("{partial} properties that only some have are left out; "),
    };
    let foot = format!("{told}{} properties are the same for all", alike.len());
    let head = cells("property", columns, "") + &cells("hash", hashes, "\\ttfamily ");
    Some(long_table("Fingerprints side by side", columns.len(), &head, &rows, &foot))
}

/// A longtable of the order in which each kernel sums, a column for each group of devices. `None` where no
/// run asked.
pub fn orders_table(orders: &Orders) -> Option<String> {
    let Orders { columns, lines, incomplete } = orders;
    if columns.is_empty() {
        return None;
    }
    let rows: String = lines.iter().map(row).collect();
    let mut foot = format!("the order in which {TERMS} products are summed");
    if *incomplete {
        foot += "; run.json has why some were not asked";
    }
    let head = cells("kernel", columns, "");
    let table = long_table("Summation orders side by side", columns.len(), &head, &rows, &foot);
    Some(format!("\n{table}"))
}

fn row(line: &Line) -> String {
    cells(&line.property, &line.cells, "")
}

/// A table over pages with a column of names and `columns` others.
fn long_table(title: &str, columns: usize, head: &str, rows: &str, foot: &str) -> String {
    // Of the width of a line, less what stands between columns.
    let width = 0.72 / columns as f64;
    let column =
        |width: f64| format!(">{{\\raggedright\\arraybackslash}}p{{{width:.3}\\linewidth}}");
    format!(
        "% {title}\n% \\usepackage{{array,booktabs,longtable}}\n\
         {{\\footnotesize\\setlength{{\\tabcolsep}}{{3pt}}\n\
         \\begin{{longtable}}{{{}*{{{columns}}}{{{}}}}}\n\
         \\toprule\n{head}\\midrule\n\\endhead\n{rows}\\midrule\n\
         \\multicolumn{{{}}}{{l}}{{{}}} \\\\\n\\bottomrule\n\\end{{longtable}}}}\n",
        column(0.22),
        column(width),
        columns + 1,
        escape(foot)
    )
}

fn cells(first: &str, others: &[String], style: &str) -> String {
    let others = others.iter().map(|cell| format!(" & {style}{}", escape(cell)));
    format!("{}{} \\\\\n", escape(first), others.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_in_the_table_and_what_does_not_is_counted() {
        assert_eq!(table(&SideBySide::default()), None);
        let line = |property: &str, cells: [&str; 2]| Line {
            property: property.to_owned(),
            cells: cells.map(str::to_owned).to_vec(),
        };
        let two = SideBySide {
            columns: vec!["a_1, c".into(), "b".into()],
            hashes: vec!["0123".into(), "4567".into()],
            differing: vec![line("fma: a * b + c", ["once", "tw_ice"])],
            alike: vec![line("rounding: sums", ["even", "even"])],
            partial: 2,
        };
        let tex = table(&two).unwrap();
        assert!(tex.contains("fma: a * b + c & once & tw\\_ice \\\\"), "{tex}");
        assert!(tex.contains("& \\ttfamily 0123 & \\ttfamily 4567 \\\\"), "{tex}");
        assert!(
            tex.contains("2 properties that only some have are left out; 1 properties"),
            "{tex}"
        );
        assert!(!tex.contains("rounding: sums"), "{tex}");
    }

    #[test]
    fn each_kernel_has_its_order() {
        assert_eq!(orders_table(&Orders::default()), None);
        let line = Line {
            property: "fp32 register_tiled in 4 slices".to_owned(),
            cells: vec!["sequential".to_owned(), "not asked".to_owned()],
        };
        let columns = vec!["a_1".to_owned(), "b".to_owned()];
        let tex = orders_table(&Orders { columns, lines: vec![line], incomplete: true }).unwrap();
        assert!(
            tex.contains("fp32 register\\_tiled in 4 slices & sequential & not asked \\\\"),
            "{tex}"
        );
        assert!(tex.contains("the order in which 64 products are summed; run.json has why some"));
    }
}
