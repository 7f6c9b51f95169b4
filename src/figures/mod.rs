//! The figures of a run, as SVG; drawing them needs no installed fonts.

mod drift;
mod head_sets;
mod heads;
mod kept_units;
mod loss;
mod reproduction;
mod shares;
mod style;
mod tradeoff;

use std::path::{Path, PathBuf};

use dht_transformer::storage::write_atomically;

use crate::error::{Error, Result};
use crate::record::RunRecord;

pub use self::drift::drift_figure;
pub use self::kept_units::kept_units_figure;
pub(crate) use self::reproduction::{Figure, Panel, group_name, reproduction_figures};

/// The figures of a run: file name and caption.
pub const FIGURES: [(&str, &str); 6] = [
    ("tradeoff.svg", "Macro F1 against inference FLOPs"),
    ("depths.svg", "Share of each depth against training progress"),
    ("head_counts.svg", "Share of each number of heads against training progress"),
    ("loss.svg", "Training loss against training progress"),
    ("heads.svg", "How often each head was kept"),
    ("head_sets.svg", "The most frequent head sets"),
];

/// Draws all [`FIGURES`] of a run into an existing directory, each file atomically.
///
/// # Errors
/// [`Error::Figure`] when a figure cannot be drawn, [`Error::Transformer`] when a file cannot be written.
pub fn draw_figures(record: &RunRecord, folder: &Path) -> Result<Vec<PathBuf>> {
    FIGURES.iter().map(|(name, _)| draw_figure(record, name, folder)).collect()
}

fn draw_figure(record: &RunRecord, name: &str, folder: &Path) -> Result<PathBuf> {
    let svg = svg_of(record, name).map_err(|message| Error::Figure { figure: name.into(), message })?;
    let path = folder.join(name);
    write_atomically(&path, |file| file.write_all(svg.as_bytes()))?;
    Ok(path)
}

/// The SVG of a figure by its file name.
fn svg_of(record: &RunRecord, name: &str) -> Result<String, String> {
    let curves = &record.curves;
    let svg = match name {
        "tradeoff.svg" => style::svg(style::HEIGHT, |area| tradeoff::draw(record, area)),
        "depths.svg" => style::svg(style::HEIGHT, |area| shares::draw_depths(curves, shares::DEPTHS, area)),
        "head_counts.svg" => {
            style::svg(style::HEIGHT, |area| shares::draw_head_counts(curves, shares::HEAD_COUNTS, area))
        }
        "loss.svg" => style::svg(style::HEIGHT, |area| loss::draw(record, area)),
        "heads.svg" => style::svg(heads::height(&curves.heads), |area| heads::draw(&curves.heads, heads::TITLE, area)),
        "head_sets.svg" => {
            let height = head_sets::height(&curves.heads);
            style::svg(height, |area| head_sets::draw(&curves.heads, head_sets::TITLE, area))
        }
        _ => return Err("there is no such figure".into()),
    };
    svg.map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests;
