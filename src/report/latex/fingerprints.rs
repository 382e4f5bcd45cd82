//! Fingerprints side by side as a table: what tells the devices apart.

use super::escape;
use crate::report::fingerprints::{Line, SideBySide};

/// A longtable of the properties that differ, a column for each group of devices that answered the
/// same, and in its foot how many are alike. `None` without a fingerprint.
pub fn table(fingerprints: &SideBySide) -> Option<String> {
    let SideBySide { columns, hashes, differing, alike, partial } = fingerprints;
    if columns.is_empty() {
        return None;
    }
    let count = columns.len() + 1;
    // Of the width of a line, less what stands between columns.
    let width = 0.72 / columns.len() as f64;
    let row = |line: &Line| cells(&line.property, &line.cells, "");
    let column =
        |width: f64| format!(">{{\\raggedright\\arraybackslash}}p{{{width:.3}\\linewidth}}");
    let rows: String = differing.iter().map(row).collect();
    let told = match (differing.len(), partial) {
        (0, _) => "no property tells them apart; ".to_owned(),
        (_, 0) => String::new(),
        (_, partial) => format!("{partial} properties that only some have are left out; "),
    };
    let foot = format!("{told}{} properties are the same for all", alike.len());
    Some(format!(
        "% Fingerprints side by side\n% \\usepackage{{array,booktabs,longtable}}\n\
         {{\\footnotesize\\setlength{{\\tabcolsep}}{{3pt}}\n\
         \\begin{{longtable}}{{{}*{{{}}}{{{}}}}}\n\
         \\toprule\n{}{}\\midrule\n\\endhead\n{rows}\\midrule\n\
         \\multicolumn{{{count}}}{{l}}{{{}}} \\\\\n\\bottomrule\n\\end{{longtable}}}}\n",
        column(0.22),
        columns.len(),
        column(width),
        cells("property", columns, ""),
        cells("hash", hashes, "\\ttfamily "),
        escape(&foot)
    ))
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
}
