use std::path::{Path, PathBuf};

use dht_transformer::storage::write_atomically;

use super::page::reproduction_report;
use crate::error::{Error, Result};
use crate::figures::reproduction_figures;
use crate::record::ReproductionRecord;
use crate::tables::{reproduction_csv, reproduction_markdown, reproduction_text};

/// Writes a reproduction into a directory, which is created if it is missing.
///
/// The files are `record.json`, `report.html`, `tables.txt`, `tables.md`, `rows.csv`, and the figures in `figures/`;
/// each is written atomically. Figures of an earlier record in the directory are removed if this record lacks them; no
/// other file is removed. Returns the paths of the written files.
///
/// # Errors
/// [`Error::Record`] if a number is not finite; [`Error::Figure`] if a figure cannot be drawn; [`Error::Io`] and
/// [`Error::Transformer`] if a file cannot be written.
pub fn write_reproduction(record: &ReproductionRecord, folder: &Path) -> Result<Vec<PathBuf>> {
    let figures = folder.join("figures");
    let drawn = panels(record)?;
    std::fs::create_dir_all(&figures).map_err(|source| Error::Io { path: figures.clone(), source })?;
    let json = folder.join("record.json");
    // The earlier record, which lists its figures, is read before it is overwritten.
    for (file, _) in ReproductionRecord::load(&json).and_then(|earlier| panels(&earlier)).unwrap_or_default() {
        let path = figures.join(&file);
        if !drawn.iter().any(|(own, _)| *own == file) && path.exists() {
            std::fs::remove_file(&path).map_err(|source| Error::Io { path, source })?;
        }
    }
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
    for (file, svg) in drawn {
        write(figures.join(file), &svg)?;
    }
    Ok(written)
}

/// File names and contents of a reproduction's figures.
fn panels(record: &ReproductionRecord) -> Result<Vec<(String, String)>> {
    let panels = reproduction_figures(record)?.into_iter().flat_map(|figure| figure.panels);
    Ok(panels.map(|panel| (panel.file, panel.svg)).collect())
}
