//! A picture of a summation order: summands in a row, each sum above what it adds.
//!
//! Lines and a little text, so the SVG is written here, without the plotting crate's scene.

use std::fmt::Write;

use super::plot::escape;
use crate::fingerprint::order::Tree;

/// Points between neighbouring summands.
const STEP: f64 = 11.0;
/// Points between two levels.
const LEVEL: f64 = 9.0;
/// Around everything.
const MARGIN: f64 = 14.0;
/// Of the title.
const TITLE: f64 = 16.0;

/// The tree as SVG, for the screen and for print. Summands stand in the order in which the tree has
/// them, with their numbers below; a dot is a rounded sum, larger where more than two are added at once.
pub fn svg(tree: &Tree, title: &str) -> String {
    let leaves = tree.leaves();
    let (width, height) = (
        2.0 * MARGIN + STEP * leaves.len() as f64,
        3.0 * MARGIN + TITLE + LEVEL * tree.depth() as f64,
    );
    let mut drawing =
        Drawing { base: height - 1.5 * MARGIN, next: MARGIN + STEP / 2.0, body: String::new() };
    drawing.node(tree);
    let title = escape(title);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.1} {height:.1}\" \
         width=\"{width:.1}pt\" height=\"{height:.1}pt\" role=\"img\" \
         font-family=\"DejaVu Sans, Verdana, sans-serif\"><title>{title}</title>\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\
         <text x=\"{MARGIN}\" y=\"{TITLE}\" font-size=\"9\">{title}</text>\
         <g stroke=\"#000000\" stroke-width=\"0.7\" fill=\"none\">{}</g></svg>\n",
        drawing.body
    )
}

struct Drawing {
    /// Where summands stand.
    base: f64,
    /// Where the next one stands.
    next: f64,
    body: String,
}

impl Drawing {
    /// Draws a node and what is below it, and returns its place.
    fn node(&mut self, tree: &Tree) -> (f64, f64) {
        match tree {
            Tree::Leaf(number) => {
                let at = (self.next, self.base);
                self.next += STEP;
                // Writing to a String cannot fail.
                let _ = write!(
                    self.body,
                    "<text x=\"{:.1}\" y=\"{:.1}\" font-size=\"6\" text-anchor=\"middle\" \
                     stroke=\"none\" fill=\"#000000\">{number}</text>",
                    at.0,
                    at.1 + 8.0
                );
                at
            }
            Tree::Sum(parts) => {
                let below: Vec<(f64, f64)> = parts.iter().map(|part| self.node(part)).collect();
                let x = below.iter().map(|at| at.0).sum::<f64>() / below.len() as f64;
                let y = self.base - LEVEL * tree.depth() as f64;
                for (from_x, from_y) in below {
                    let _ =
                        write!(self.body, "<path d=\"M{from_x:.1} {from_y:.1}L{x:.1} {y:.1}\"/>");
                }
                let radius = if parts.len() > 2 { 2.6 } else { 1.4 };
                let _ = write!(
                    self.body,
                    "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\" fill=\"#000000\"/>"
                );
                (x, y)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(parts: Vec<Tree>) -> Tree {
        Tree::Sum(parts)
    }

    #[test]
    fn a_picture_has_every_summand_and_every_sum() {
        let leaf = Tree::Leaf;
        let tree = sum(vec![sum(vec![leaf(0), leaf(2)]), sum(vec![leaf(1), leaf(3), leaf(4)])]);
        let svg = svg(&tree, "a < b");
        assert_eq!(svg.matches("<circle").count(), 3);
        assert_eq!(svg.matches("<path").count(), 7, "a line for each part of a sum");
        assert_eq!(svg.matches("r=\"2.6\"").count(), 1, "three at once");
        assert!(svg.contains(">4</text>") && svg.contains("<title>a &lt; b</title>"), "{svg}");
        let places: Vec<&str> =
            svg.split("<text x=\"").skip(2).map(|t| t.split('"').next().unwrap()).collect();
        assert_eq!(places, ["19.5", "30.5", "41.5", "52.5", "63.5"], "in the order of the tree");
    }
}
