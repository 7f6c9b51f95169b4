//! The figures of a run, as SVG; drawing them needs no installed fonts.

mod head_sets;
mod heads;
mod loss;
mod shares;
mod style;
mod tradeoff;

use std::path::{Path, PathBuf};

use dht_transformer::storage::write_atomically;

use self::style::{Area, Drawn};
use crate::error::{Error, Result};
use crate::record::RunRecord;

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

fn draw_figure(record: &RunRecord, name: &'static str, folder: &Path) -> Result<PathBuf> {
    let svg = svg_of(record, name).map_err(|message| Error::Figure { figure: name, message })?;
    let path = folder.join(name);
    write_atomically(&path, |file| file.write_all(svg.as_bytes()))?;
    Ok(path)
}

/// The SVG of a figure by its file name.
fn svg_of(record: &RunRecord, name: &str) -> Result<String, String> {
    let draw: (u32, fn(&RunRecord, &Area) -> Drawn) = match name {
        "tradeoff.svg" => (style::HEIGHT, tradeoff::draw),
        "depths.svg" => (style::HEIGHT, shares::draw_depths),
        "head_counts.svg" => (style::HEIGHT, shares::draw_head_counts),
        "loss.svg" => (style::HEIGHT, loss::draw),
        "heads.svg" => (heads::height(record), heads::draw),
        "head_sets.svg" => (head_sets::height(record), head_sets::draw),
        _ => return Err("there is no such figure".into()),
    };
    style::svg(draw.0, |area| draw.1(record, area)).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests;
