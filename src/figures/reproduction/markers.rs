//! Markers of the groups of methods in figures. They differ in shape and in colour, for readers who cannot distinguish
//! colours.

use plotters::prelude::*;

use crate::figures::style::{Area, DYNAMIC, Drawn, FULL, ORACLE, RANDOM, TRUNCATED};
use crate::record::RowGroup;

/// All groups of methods, in the order of the legend.
pub(crate) const GROUPS: [RowGroup; 9] = [
    RowGroup::Full,
    RowGroup::Truncation,
    RowGroup::DistilBert,
    RowGroup::FastBert,
    RowGroup::Pabee,
    RowGroup::Ngram,
    RowGroup::Accelerated,
    RowGroup::AsPublished,
    RowGroup::Ours,
];

/// Name of a group of methods in legends.
pub(crate) fn name(group: RowGroup) -> &'static str {
    match group {
        RowGroup::Full => "full model",
        RowGroup::Truncation => "truncations",
        RowGroup::DistilBert => "DistilBERT",
        RowGroup::FastBert => "FastBERT",
        RowGroup::Pabee => "PABEE",
        RowGroup::Ngram => "n-gram",
        RowGroup::Accelerated => "accelerated",
        RowGroup::AsPublished => "DHT as published",
        RowGroup::Ours => "DHT, our settings",
    }
}

pub(crate) fn color(group: RowGroup) -> RGBColor {
    match group {
        RowGroup::Full => FULL,
        RowGroup::Truncation => TRUNCATED,
        RowGroup::DistilBert => RGBColor(230, 159, 0),
        RowGroup::FastBert => RANDOM,
        RowGroup::Pabee => RGBColor(86, 180, 233),
        RowGroup::Ngram => ORACLE,
        RowGroup::Accelerated => RGBColor(160, 0, 90),
        RowGroup::AsPublished => DYNAMIC,
        RowGroup::Ours => RGBColor(8, 42, 95),
    }
}

pub(crate) fn draw(area: &Area, (x, y): (i32, i32), group: RowGroup) -> Drawn {
    let color = color(group);
    let polygon = |corners: &[(i32, i32)]| {
        let corners: Vec<_> = corners.iter().map(|(right, down)| (x + right, y + down)).collect();
        area.draw(&Polygon::new(corners, color.filled()))
    };
    match group {
        RowGroup::Full => area.draw(&Rectangle::new([(x - 6, y - 6), (x + 6, y + 6)], color.filled())),
        RowGroup::Truncation => area.draw(&Circle::new((x, y), 5, color.filled())),
        RowGroup::DistilBert => polygon(&[(0, -7), (6, 5), (-6, 5)]),
        RowGroup::FastBert => polygon(&[(0, 7), (6, -5), (-6, -5)]),
        RowGroup::Pabee => polygon(&[(0, -7), (7, 0), (0, 7), (-7, 0)]),
        RowGroup::Ngram => area.draw(&Cross::new((x, y), 5, color.stroke_width(3))),
        RowGroup::Accelerated => polygon(&[(-3, -7), (3, -7), (7, -3), (7, 3), (3, 7), (-3, 7), (-7, 3), (-7, -3)]),
        RowGroup::AsPublished => {
            area.draw(&Circle::new((x, y), 7, color.filled()))?;
            area.draw(&Circle::new((x, y), 3, WHITE.filled()))
        }
        RowGroup::Ours => polygon(&[
            (-2, -7),
            (2, -7),
            (2, -2),
            (7, -2),
            (7, 2),
            (2, 2),
            (2, 7),
            (-2, 7),
            (-2, 2),
            (-7, 2),
            (-7, -2),
            (-2, -2),
        ]),
    }
}
