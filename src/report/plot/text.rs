//! Texts: for XML, as wide as the embedded font draws them, and broken into lines.

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

/// Width of a text in the embedded font (DejaVu Sans), rather too wide than too narrow.
pub(super) fn text_width(text: &str, size: f64) -> f64 {
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
pub(super) fn wrap(text: &str, size: f64, width: f64) -> Vec<String> {
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
