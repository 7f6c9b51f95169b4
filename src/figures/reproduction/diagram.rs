//! The diagram of the method, in place of the paper's figure 1.

use plotters::prelude::RGBColor;

use super::figure::{Figure, Panel};
use crate::figures::style::{BLUES, DYNAMIC, GRID, INK, OCHRES, PALE_INK, TRUNCATED, WIDTH};

const HEIGHT: i32 = 502;
/// The height of a box.
const BOX: i32 = 46;
/// From the middle of the model's row down to the middle of the bandits' row.
const DOWN: i32 = 82;

pub(crate) fn figure() -> Figure {
    let alt = "The way of a text in training. It passes the b base layers; at state S1 a bandit decides its depth, and it waits \
               in the queue of this depth. Full queues leave as batches: the base layers run again with gradient; before each \
               group of c layers bandits decide how many heads it keeps and which; after the last group the loss gives \
               rewards to all bandits. In T-DHT one bandit decides depth and another, at each group, the number of heads; in \
               S-, F- and P-DHT one bandit decides both at S1.";
    Figure {
        number: Some(1),
        title: "The method".into(),
        caption: "Our own drawing. Solid arrows are data, dotted ones decisions and rewards. The bandits are contextual: UCB \
                  picks one arm, TSB (Thompson sampling, semi-bandit) picks that many heads."
            .into(),
        panels: vec![Panel { file: "method.svg".into(), alt: alt.into(), svg: svg() }],
    }
}

fn svg() -> String {
    let mut drawing = Drawing::default();
    drawing.bold(20, 26, 16, "How a text is trained on");
    drawing.lane(66, "T-DHT: tree search", ("UCB", "L", "depth L"), true);
    drawing.lane(300, "S-DHT, F-DHT, P-DHT: integrated search", ("UCB", "cp", "L and H at once"), false);
    let body = drawing.body;
    format!(
        "<svg width=\"{WIDTH}\" height=\"{HEIGHT}\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" xmlns=\"http://www.w3.org/2000/svg\" \
         font-family=\"sans-serif\">\n<rect x=\"0\" y=\"0\" width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#FFFFFF\"/>\n\
         {body}</svg>\n"
    )
}

#[derive(Default)]
struct Drawing {
    body: String,
}

fn hex(color: RGBColor) -> String {
    format!("#{:02X}{:02X}{:02X}", color.0, color.1, color.2)
}

impl Drawing {
    /// One search: the model's row, and below it the bandits'.
    fn lane(&mut self, title_at: i32, title: &str, depth: (&str, &str, &str), head_counts: bool) {
        let y = title_at + 46;
        let bandits = y + DOWN;
        self.bold(20, title_at, 13, title);

        self.model((20, 60), y, &["text"]);
        self.model((78, 150), y, &["base layers", "1 … b"]);
        self.state(174, y, "S₁");
        self.model((202, 270), y, &["queue of", "depth L"]);
        self.model((288, 366), y, &["base layers", "again, with", "gradient"]);
        self.state(390, y, "S₂,₀");
        self.model((418, 484), y, &["c layers,", "H heads"]);
        self.state(508, y, "S₂,ₖ");
        self.model((536, 602), y, &["c layers,", "H heads"]);
        self.model((620, 682), y, &["classifier,", "loss"]);
        for (from, to) in
            [(60, 78), (150, 161), (187, 202), (270, 288), (366, 377), (403, 418), (484, 495), (521, 536), (602, 620)]
        {
            self.arrow((from, y), (to, y), false);
        }

        let (name, index, what) = depth;
        let subscript = |name: &str, index: &str| format!("{name}<tspan dy=\"3\" font-size=\"9\">{index}</tspan>");
        self.bandit((126, 222), bandits, &[&subscript(name, index), what]);
        self.arrow((174, y + 13), (174, bandits - BOX / 2), true);
        self.elbow((222, bandits), (236, y + BOX / 2));
        for (left, state, group) in [(338, 390, 451), (456, 508, 569)] {
            let right = left + 104;
            let subscripted = subscript("UCB", "H");
            let first = format!("{subscripted}<tspan dy=\"-3\">: how many</tspan>");
            if head_counts {
                self.bandit((left, right), bandits, &[&first, "TSB: which heads"]);
            } else {
                self.bandit((left, right), bandits, &["TSB", "which H heads"]);
            }
            self.arrow((state, y + 13), (state, bandits - BOX / 2), true);
            self.elbow((right, bandits), (group, y + BOX / 2));
        }
        self.rewards(y, bandits);
    }

    /// The dotted line from the loss below all bandits.
    fn rewards(&mut self, y: i32, bandits: i32) {
        let (from, low) = (651, bandits + BOX / 2 + 26);
        let color = hex(TRUNCATED);
        self.body.push_str(&format!(
            "<path d=\"M{from} {} V{low} H174\" fill=\"none\" stroke=\"{color}\" stroke-width=\"1.5\" stroke-dasharray=\"2 4\"/>\n",
            y + BOX / 2
        ));
        for x in [174, 390, 508] {
            self.line_with_head((x, low), (x, bandits + BOX / 2), true, &color);
        }
        self.text((412, low + 14), 11, &color, "rewards: the loss, weighed by cost");
    }

    fn model(&mut self, (left, right): (i32, i32), y: i32, lines: &[&str]) {
        self.labelled((left, right), y, lines, 3, &hex(BLUES[0]), &hex(DYNAMIC));
    }

    fn bandit(&mut self, (left, right): (i32, i32), y: i32, lines: &[&str]) {
        self.labelled((left, right), y, lines, 16, &hex(OCHRES[0]), &hex(OCHRES[2]));
    }

    fn labelled(&mut self, (left, right): (i32, i32), y: i32, lines: &[&str], round: i32, fill: &str, edge: &str) {
        self.body.push_str(&format!(
            "<rect x=\"{left}\" y=\"{}\" width=\"{}\" height=\"{BOX}\" rx=\"{round}\" fill=\"{fill}\" stroke=\"{edge}\"/>\n",
            y - BOX / 2,
            right - left,
        ));
        let first = y + 4 - 7 * (lines.len() as i32 - 1);
        for (index, line) in lines.iter().enumerate() {
            self.text(((left + right) / 2, first + 14 * index as i32), 11, &hex(INK), line);
        }
    }

    fn state(&mut self, x: i32, y: i32, name: &str) {
        let (fill, edge) = (hex(GRID), hex(PALE_INK));
        self.body.push_str(&format!("<circle cx=\"{x}\" cy=\"{y}\" r=\"13\" fill=\"{fill}\" stroke=\"{edge}\"/>\n"));
        self.text((x, y + 4), 10, &hex(INK), name);
    }

    fn arrow(&mut self, from: (i32, i32), to: (i32, i32), dotted: bool) {
        self.line_with_head(from, to, dotted, &hex(PALE_INK));
    }

    /// From the right of a bandit to below a group of layers.
    fn elbow(&mut self, from: (i32, i32), to: (i32, i32)) {
        let color = hex(PALE_INK);
        self.body.push_str(&format!(
            "<path d=\"M{} {} H{}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"1.5\" stroke-dasharray=\"2 4\"/>\n",
            from.0, from.1, to.0
        ));
        self.arrow((to.0, from.1), to, true);
    }

    /// A horizontal or vertical line with a head at its end.
    fn line_with_head(&mut self, from: (i32, i32), to: (i32, i32), dotted: bool, color: &str) {
        let (right, down) = ((to.0 - from.0).signum(), (to.1 - from.1).signum());
        let dashes = if dotted { " stroke-dasharray=\"2 4\"" } else { "" };
        let base = (to.0 - 6 * right, to.1 - 6 * down);
        self.body.push_str(&format!(
            "<line x1=\"{}\" y1=\"{}\" x2=\"{}\" y2=\"{}\" stroke=\"{color}\" stroke-width=\"1.5\"{dashes}/>\n\
             <polygon points=\"{},{} {},{} {},{}\" fill=\"{color}\"/>\n",
            from.0,
            from.1,
            base.0,
            base.1,
            to.0,
            to.1,
            base.0 - 4 * down,
            base.1 - 4 * right,
            base.0 + 4 * down,
            base.1 + 4 * right,
        ));
    }

    fn bold(&mut self, x: i32, y: i32, size: i32, text: &str) {
        let color = hex(INK);
        self.body.push_str(&format!(
            "<text x=\"{x}\" y=\"{y}\" dy=\"0.35em\" font-size=\"{size}\" font-weight=\"bold\" fill=\"{color}\">{text}</text>\n"
        ));
    }

    fn text(&mut self, (x, y): (i32, i32), size: i32, color: &str, markup: &str) {
        self.body.push_str(&format!(
            "<text x=\"{x}\" y=\"{y}\" text-anchor=\"middle\" font-size=\"{size}\" fill=\"{color}\">{markup}</text>\n"
        ));
    }
}
