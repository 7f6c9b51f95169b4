//! Heat map of how often each head was kept in each group of layers.

use dht_search::training::GroupHeads;
use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use super::style;
use super::style::{Area, BLUES, Drawn, HEADER, INK, LEFT, PALE_INK, WIDTH};

const ROW: i32 = 44;
/// Width in pixels of the names of layer groups.
const NAMES: i32 = 150;

pub(crate) fn height(groups: &[GroupHeads]) -> u32 {
    HEADER as u32 + (ROW * groups.len().max(1) as i32) as u32 + 76
}

pub(crate) fn draw(groups: &[GroupHeads], title: &str, area: &Area) -> Drawn {
    let legend: Vec<_> = [0.0, 0.5, 1.0].map(|share| (style::percent(&share), style::on_scale(&BLUES, share))).into();
    let body = style::header(area, title, &legend)?;
    let heads = groups.first().map_or(0, |group| group.share.len()) as i32;
    if heads == 0 {
        return style::nothing(&body, "No heads were chosen in this run.");
    }
    let left = LEFT + NAMES;
    let edge = |head: i32| left + head * (WIDTH as i32 - left - LEFT) / heads;
    let legible = edge(1) - edge(0) >= 26;
    for (row, group) in groups.iter().enumerate() {
        let top = row as i32 * ROW;
        let middle = top + (ROW - 4) / 2;
        let name = style::layers_name(group.layers);
        body.draw_text(&name, &style::anchored(style::font(13.0, INK), HPos::Left), (LEFT, middle - 8))?;
        let samples = format!("{} samples", group.samples);
        body.draw_text(&samples, &style::anchored(style::font(11.0, PALE_INK), HPos::Left), (LEFT, middle + 9))?;
        for (head, &share) in group.share.iter().enumerate() {
            let (from, to) = (edge(head as i32), edge(head as i32 + 1) - 2);
            let color = style::on_scale(&BLUES, share);
            body.draw(&Rectangle::new([(from, top), (to, top + ROW - 4)], color.filled()))?;
            if legible {
                let ink = if share > 0.45 { WHITE } else { INK };
                let text = format!("{:.0}", 100.0 * share);
                let letters = style::anchored(style::font(12.0, ink), HPos::Center);
                body.draw_text(&text, &letters, ((from + to) / 2, middle))?;
            }
        }
    }
    let bottom = groups.len() as i32 * ROW + 10;
    let every = if legible { 1 } else { 4 };
    let letters = style::anchored(style::font(12.0, PALE_INK), HPos::Center);
    for head in (0..heads).step_by(every) {
        body.draw_text(&head.to_string(), &letters, ((edge(head) + edge(head + 1)) / 2 - 1, bottom))?;
    }
    let axis = style::anchored(style::font(13.0, INK), HPos::Center);
    body.draw_text("head, counted from 0", &axis, ((left + WIDTH as i32 - LEFT) / 2, bottom + 24))?;
    let note = format!("in cells: % of the samples that run these layers; {}", style::CHOSEN_ONLY);
    body.draw_text(&note, &style::anchored(style::font(13.0, PALE_INK), HPos::Left), (LEFT, bottom + 46))
}
