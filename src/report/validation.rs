//! docs/VALIDATION.md: the experiments of [`crate::validation`] as a document.

use std::fmt::Write as _;

use super::scale::significant;
use crate::validation::{Check, Experiment, FALSE_ALARM, PLANS, ROWS, Row, SEED};

/// The document as Markdown: what is behind the numbers, what does not match and why, and a table for
/// each experiment.
pub fn document(experiments: &[Experiment], seed: u32) -> String {
    let mut text = introduction(experiments, seed) + &summary(experiments);
    for experiment in experiments {
        text += &section(experiment);
    }
    text.lines().map(wrapped).collect()
}

/// Columns of a line of the document, but for the rows of its tables.
const COLUMNS: usize = 110;

/// A paragraph, broken between words; the lines of one that begins with a dash are indented.
fn wrapped(paragraph: &str) -> String {
    if paragraph.starts_with('|') {
        return format!("{paragraph}\n");
    }
    let indent = if paragraph.starts_with("- ") { "  " } else { "" };
    let (mut text, mut column) = (String::new(), 0);
    for word in paragraph.split(' ') {
        let width = word.chars().count();
        // At the start of a line a plus would begin a list.
        if column > 0 && column + 1 + width > COLUMNS && !["+", "="].contains(&word) {
            text += &format!("\n{indent}");
            column = indent.len();
        } else if column > 0 {
            text.push(' ');
            column += 1;
        }
        text += word;
        column += width;
    }
    text + "\n"
}

fn introduction(experiments: &[Experiment], seed: u32) -> String {
    let (outside, rows) = (FALSE_ALARM * 100.0, ROWS);
    let printed = if is_whole(experiments, seed) {
        "This file is the output of\n\
         \n\
         ```sh\n\
         tradeoff validate > docs/VALIDATION.md   # or: cargo run --release -- validate\n\
         ```\n\
         \n\
         and a test holds it to that: the text exactly, the numbers within one unit of their fifth digit, for \
         the logarithms and exponentials of another mathematics library may differ in their last bit."
            .to_owned()
    } else {
        let names: Vec<String> =
            experiments.iter().map(|experiment| format!("`{}`", experiment.name)).collect();
        format!("Printed here: {}, from seed {seed}.", names.join(", "))
    };
    format!(
        "# Validation\n\
         \n\
         What the theory of rounding errors predicts, beside what this program's arithmetic gives. {printed}\n\
         \n\
         Everything is computed on the CPU, in under a minute, by the mirrors: the programs that every kernel \
         on a GPU is compared with, bit for bit, before it is timed. So what is found here holds for each \
         kernel whose rows say `mirror_mismatches` 0, under the same arithmetic: here `fma` is fused and \
         nothing is flushed, on any processor. Two things are no mirror's, since no kernel computes them: HALP \
         at 10 bits (in `halp`), whose steps are in f64, and the matrix unit of `exact`, a model in software. \
         All random bits come from the seed {seed}; `tradeoff validate --seed N` draws others, which change the \
         measured numbers within their intervals, and `tradeoff validate --json` has all digits.\n\
         \n\
         **How to read a row.** The prediction comes from a formula without fitted parameters. Over independent \
         trials the interval is Student's, at 95 %. A row *agrees* where the prediction lies in the wider \
         interval of 1 − {FALSE_ALARM}/{rows}: then chance alone makes any row of a right theory differ in at \
         most {outside} % of seeds, if the trials' mean is near enough to normal for Student's law to hold so \
         far out, whereas of the intervals at 95 % one in twenty misses. Where nothing is random, the two must \
         be equal, or apart by at most the bound that is given with ±; a prediction that is a bound has ≤.\n"
    )
}

/// Whether it is docs/VALIDATION.md that is printed.
fn is_whole(experiments: &[Experiment], seed: u32) -> bool {
    let names = experiments.iter().map(|experiment| experiment.name);
    seed == SEED && names.eq(PLANS.iter().map(|plan| plan.name))
}

fn summary(experiments: &[Experiment]) -> String {
    let rows: Vec<&Row> = experiments.iter().flat_map(|experiment| &experiment.rows).collect();
    let agree = rows.iter().filter(|row| row.agrees).count();
    let mut text = format!("\n## What does not match\n\n{agree} of {} rows agree. ", rows.len());
    let differing: Vec<&&Row> = rows.iter().filter(|row| !row.agrees).collect();
    if differing.is_empty() {
        return text + "None differs.\n";
    }
    text += "The others, and why:\n\n";
    for row in differing {
        let why = row.why.unwrap_or("Why is not known.");
        let (predicted, measured) = (number(row.predicted), number(row.measured));
        let quantity = &row.quantity;
        // Writing to a String cannot fail.
        let _ =
            writeln!(text, "- **{quantity}**: {predicted} predicted, {measured} measured. {why}");
    }
    text
}

fn section(experiment: &Experiment) -> String {
    let Experiment { name, title, setup, formula, source, remark, rows } = experiment;
    let mut text = format!(
        "\n## {title}\n\
         \n\
         `tradeoff validate {name}`. {setup}\n\
         \n\
         *Predicted.* {formula}\n\
         \n\
         *Source.* {source}\n\
         \n\
         | | predicted | measured | 95 % interval | |\n\
         | --- | ---: | ---: | --- | --- |\n"
    );
    for row in rows {
        text += &line(row);
    }
    if !remark.is_empty() {
        text += &format!("\n{remark}\n");
    }
    text
}

fn line(row: &Row) -> String {
    let Row { quantity, predicted, measured, check, agrees, .. } = row;
    let (predicted, measured) = (number(*predicted), number(*measured));
    let verdict = if *agrees { "agrees" } else { "**differs**" };
    let (predicted, interval) = match *check {
        Check::Interval { ci95: [low, high], .. } => {
            (predicted, format!("{} to {}", number(low), number(high)))
        }
        Check::Within(0.0) => (predicted, "exact".to_owned()),
        Check::Within(most) => (format!("{predicted} ± {}", number(most)), "not random".to_owned()),
        Check::AtMost => (format!("≤ {predicted}"), "a bound".to_owned()),
    };
    // A bar in a cell would end it.
    let quantity = quantity.replace('|', "\\|");
    format!("| {quantity} | {predicted} | {measured} | {interval} | {verdict} |\n")
}

/// Five significant digits, those of integers and short decimals without the zeros behind them.
fn number(value: f64) -> String {
    let text = significant(value, 5).replace('-', "−");
    match text.contains('.') && !text.contains('·') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn experiment(rows: Vec<Row>) -> Experiment {
        Experiment {
            name: "n",
            title: "T",
            setup: "S.".into(),
            formula: "F.",
            source: "Q.",
            remark: String::new(),
            rows,
        }
    }

    #[test]
    fn lines_break_between_words() {
        let long = format!("- {}", vec!["words"; 40].join(" "));
        let text = wrapped(&long);
        assert!(text.lines().all(|line| line.chars().count() <= COLUMNS), "{text}");
        assert!(text.lines().skip(1).all(|line| line.starts_with("  words")), "{text}");
        assert_eq!(text.split_whitespace().count(), 41);
        let table = format!("|{long}|");
        assert_eq!((wrapped(&table), wrapped("")), (format!("{table}\n"), "\n".to_owned()));
    }

    fn row(check: Check, agrees: bool, why: Option<&'static str>) -> Row {
        Row { quantity: "|x|".into(), predicted: -0.5, measured: 1234.56789, check, agrees, why }
    }

    #[test]
    fn rows_are_as_they_are_judged() {
        let interval = Check::Interval { ci95: [1.0, 2e-7], deciding: [0.0; 2], trials: 3 };
        let rows = vec![
            row(interval, true, None),
            row(Check::Within(0.0), true, None),
            row(Check::Within(0.25), false, Some("Because.")),
            row(Check::AtMost, false, None),
        ];
        let text = document(&[experiment(rows)], 7);
        for told in [
            "2 of 4 rows agree. The others, and why:",
            "- **|x|**: −0.5 predicted, 1234.6 measured. Because.\n",
            "1234.6 measured. Why is not known.\n",
            "| \\|x\\| | −0.5 | 1234.6 | 1 to 2.0000·10⁻⁷ | agrees |\n",
            "| \\|x\\| | −0.5 | 1234.6 | exact | agrees |\n",
            "| \\|x\\| | −0.5 ± 0.25 | 1234.6 | not random | **differs** |\n",
            "| \\|x\\| | ≤ −0.5 | 1234.6 | a bound | **differs** |\n",
        ] {
            assert!(text.contains(told), "no `{told}` in {text}");
        }
        assert!(document(&[experiment(vec![])], 7).contains("0 of 0 rows agree. None differs.\n"));
    }

    #[test]
    fn only_the_whole_document_is_called_so() {
        let all = || PLANS.map(|plan| Experiment { name: plan.name, ..experiment(vec![]) });
        let told = |experiments: &[Experiment], seed| {
            // Whatever lines it is broken into.
            let text = document(experiments, seed).replace('\n', " ");
            (text.contains("This file is the output of"), text.contains("Printed here: "))
        };
        assert_eq!(told(&all(), SEED), (true, false));
        assert_eq!(told(&all(), SEED + 1), (false, true));
        assert_eq!(told(&all()[1..], SEED), (false, true));
        let text = document(&[experiment(vec![])], 7).replace('\n', " ");
        assert!(text.contains("Printed here: `n`, from seed 7."), "{text}");
    }
}
