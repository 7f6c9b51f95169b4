//! The files of a reproduction.

use std::path::{Path, PathBuf};

use dht_transformer::storage::write_atomically;

use super::page::reproduction_report;
use crate::error::{Error, Result};
use crate::figures::reproduction_figures;
use crate::record::ReproductionRecord;
use crate::tables::{reproduction_csv, reproduction_markdown, reproduction_text};

/// Writes a reproduction into a directory, which is made where it is missing: `record.json`, `report.html`, `tables.txt`,
/// `tables.md`, `rows.csv`, and the figures in `figures/`; each file atomically. Figures there that this record does not have are of an earlier
/// run and are removed. Returns the paths.
///
/// # Errors
/// [`Error::Record`] when a number is not finite, [`Error::Figure`] when a figure cannot be drawn, [`Error::Io`] and
/// [`Error::Transformer`] when a file cannot be written.
pub fn write_reproduction(record: &ReproductionRecord, folder: &Path) -> Result<Vec<PathBuf>> {
    let figures = folder.join("figures");
    std::fs::create_dir_all(&figures).map_err(|source| Error::Io { path: figures.clone(), source })?;
    let json = folder.join("record.json");
    record.save(&json)?;
    let mut written = vec![json];
    let mut write = |path: PathBuf, text: &str| -> Result<()> {
        write_atomically(&path, |file| file.write_all(text.as_bytes()))?;
        written.push(path);
        Ok(())
    };
    write(folder.join("report.html"), &reproduction_report(record)?)?;
    write(folder.join("tables.txt"), &reproduction_text(record))?;
    write(folder.join("tables.md"), &reproduction_markdown(record))?;
    write(folder.join("rows.csv"), &reproduction_csv(record))?;
    for panel in reproduction_figures(record)?.into_iter().flat_map(|figure| figure.panels) {
        write(figures.join(&panel.file), &panel.svg)?;
    }
    let failed = |source| Error::Io { path: figures.clone(), source };
    for entry in std::fs::read_dir(&figures).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|extension| extension == "svg") && !written.contains(&path) {
            std::fs::remove_file(&path).map_err(|source| Error::Io { path, source })?;
        }
    }
    Ok(written)
}
