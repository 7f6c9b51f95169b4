//! Figure of the most frequent head sets in each group of layers.

use dht_search::training::{GroupHeads, SetCount};
use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use super::style;
use super::style::{Area, DYNAMIC, Drawn, GRID, INK, LEFT, PALE_INK, WIDTH};

/// Maximum number of head sets shown for each group of layers.
const MOST: usize = 5;
const ROW: i32 = 24;
const GROUP: i32 = 34;
const TOP: i32 = 66;
/// Width in pixels of the column with a dot for each head.
const DOTS: i32 = 170;
/// Width in pixels of the column with the names of head sets.
const NAME: i32 = 190;
/// Width in pixels that is reserved for a percentage after the longest bar.
const AFTER: i32 = 60;

pub(crate) fn height(groups: &[GroupHeads]) -> u32 {
    let rows: i32 = groups.iter().map(|group| GROUP + ROW * group.sets.len().min(MOST) as i32).sum();
    (TOP + rows.max(ROW) + 16) as u32
}

pub(crate) fn draw(groups: &[GroupHeads], title: &str, area: &Area) -> Drawn {
    area.draw_text(title, &style::anchored(style::bold(16.0), HPos::Left), (LEFT, 26))?;
    let note = format!("heads from 0, blue where kept; {}", style::CHOSEN_ONLY);
    area.draw_text(&note, &style::anchored(style::font(13.0, PALE_INK), HPos::Left), (LEFT, 50))?;
    let share = |group: &GroupHeads, set: &SetCount| set.samples as f64 / group.samples.max(1) as f64;
    let all = groups.iter().flat_map(|group| group.sets.iter().map(|set| share(group, set)));
    let most = all.fold(0.0, f64::max);
    if most <= 0.0 {
        return area.draw_text(
            "No heads were chosen in this run.",
            &style::anchored(style::font(13.0, PALE_INK), HPos::Left),
            (LEFT, TOP + 10),
        );
    }
    let mut y = TOP;
    for group in groups {
        let name = format!(
            "{}: the {} most frequent sets, share of {} samples",
            style::layers_name(group.layers),
            group.sets.len().min(MOST),
            group.samples
        );
        area.draw_text(&name, &style::anchored(style::font(13.0, INK), HPos::Left), (LEFT, y + GROUP / 2))?;
        y += GROUP;
        for set in group.sets.iter().take(MOST) {
            draw_set(area, y, group.share.len(), set, share(group, set), most)?;
            y += ROW;
        }
    }
    Ok(())
}

/// Draws a row for a head set: a dot for each head, filled if the head is kept, then the set's name, then a bar.
fn draw_set(area: &Area, y: i32, heads: usize, set: &SetCount, share: f64, most: f64) -> Drawn {
    let middle = y + ROW / 2;
    let step = (DOTS - 10) / heads.max(1) as i32;
    let radius = (step / 2 - 1).clamp(1, 5);
    for head in 0..heads {
        let color = if set.heads.contains(head) { DYNAMIC } else { GRID };
        let center = (LEFT + 6 + step * head as i32, middle);
        area.draw(&Circle::new(center, radius, color.filled()))?;
    }
    let name = shortened(&set.heads.to_string(), 30);
    let letters = style::anchored(style::font(11.5, INK), HPos::Left);
    area.draw_text(&name, &letters, (LEFT + DOTS, middle))?;
    let left = LEFT + DOTS + NAME;
    let longest = WIDTH as i32 - LEFT - AFTER - left;
    let right = left + ((share / most) * f64::from(longest)).round().max(1.0) as i32;
    area.draw(&Rectangle::new([(left, middle - 7), (right, middle + 7)], DYNAMIC.filled()))?;
    let letters = style::anchored(style::font(12.0, INK), HPos::Left);
    area.draw_text(&format!("{:.1} %", 100.0 * share), &letters, (right + 6, middle))
}

fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most { text.into() } else { text.chars().take(most - 1).chain(['…']).collect() }
}
