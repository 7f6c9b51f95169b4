//! Markdown pages of reproductions: `docs/reproduction.md` for all, and a page in `docs/reproduction/` for each.

use std::path::{Path, PathBuf};

use dht_transformer::storage::write_atomically;

use super::findings::{WITHDRAWN, findings, paper_notes, row_name};
use crate::error::{Error, Result};
use crate::figures::{Figure, reproduction_figures};
use crate::marked;
use crate::record::ReproductionRecord;
use crate::tables::{markdown_text, reproduction_markdown};

/// Marker line before the generated part of the page.
pub const REPRODUCTION_START: &str = "<!-- reproduction -->";
/// Marker line after the generated part of the page.
pub const REPRODUCTION_END: &str = "<!-- /reproduction -->";

/// Directory of the figures, relative to `docs/reproduction.md`.
pub(super) const FIGURES: &str = "figures/reproduction";
/// Directory of the pages of single reproductions, relative to `docs/reproduction.md`.
const PAGES: &str = "reproduction";

/// Replaces the part of the page between the two marker lines by [`reproduction_page`].
///
/// # Errors
/// [`Error::Markers`] unless each of the two lines occurs once, in this order.
pub fn with_reproduction(page: &str, records: &[ReproductionRecord]) -> Result<String> {
    marked::replaced(page, (REPRODUCTION_START, REPRODUCTION_END), &reproduction_page(records))
}

/// Formats the findings of all reproductions in Markdown, each with a link to its [page](write_reproduction_pages).
/// Notes on the DHT paper (Meng et al. 2023) come last.
pub fn reproduction_page(records: &[ReproductionRecord]) -> String {
    let mut text = String::from("\n");
    for ((record, folder), title) in records.iter().zip(folders(records)).zip(titles(records)) {
        let title = markdown_text(&title);
        text.push_str(&format!("## {title}\n\n{}\n\n### What we found\n\n", run_line(record)));
        text.push_str(&list(&findings(record)));
        text.push_str(&format!("[Tables, figures, and what differs from the paper]({PAGES}/{folder}.md)\n\n"));
    }
    text.push_str("## About the paper\n\n");
    text.push_str(&format!("{}\n\nWhat its own tables do not bear out:\n\n", markdown_text(WITHDRAWN)));
    text.push_str(&list(&paper_notes()));
    text
}

/// Formats the page of one reproduction in Markdown: tables with notes, figures, and differences from the DHT paper
/// (Meng et al. 2023).
fn record_page(record: &ReproductionRecord, folder: &str, title: &str) -> Result<String> {
    let mut text = format!("# The paper's experiments on {}\n\n{REPRODUCTION_START}\n\n", markdown_text(title));
    text.push_str(&format!("{}\n\n[Findings](../reproduction.md)\n\n## Tables\n\n", run_line(record)));
    text.push_str(&reproduction_markdown(record));
    text.push_str("## Figures\n\n");
    for figure in reproduction_figures(record)? {
        text.push_str(&figure_links(&figure, folder));
    }
    text.push_str("## What differs from the paper\n\n");
    text.push_str(&differences(record));
    text.push_str(&format!("{REPRODUCTION_END}\n"));
    Ok(text)
}

/// Writes a page for each reproduction into a directory, which is created if it is missing. The pages refer to figures
/// in `../figures/reproduction`.
///
/// # Errors
/// [`Error::Figure`] if a figure cannot be drawn; [`Error::Io`] and [`Error::Transformer`] if a file cannot be written.
pub fn write_reproduction_pages(records: &[ReproductionRecord], folder: &Path) -> Result<Vec<PathBuf>> {
    std::fs::create_dir_all(folder).map_err(|source| Error::Io { path: folder.into(), source })?;
    let mut written = Vec::new();
    for ((record, name), title) in records.iter().zip(folders(records)).zip(titles(records)) {
        let (path, page) = (folder.join(format!("{name}.md")), record_page(record, &name, &title)?);
        write_atomically(&path, |file| file.write_all(page.as_bytes()))?;
        written.push(path);
    }
    Ok(written)
}

/// Draws the figures of all reproductions into a directory, which is created if it is missing.
///
/// # Errors
/// [`Error::Figure`] if a figure cannot be drawn; [`Error::Io`] and [`Error::Transformer`] if a file cannot be written.
pub fn write_reproduction_figures(records: &[ReproductionRecord], folder: &Path) -> Result<Vec<PathBuf>> {
    let mut written = Vec::new();
    for (record, name) in records.iter().zip(folders(records)) {
        let folder = folder.join(name);
        std::fs::create_dir_all(&folder).map_err(|source| Error::Io { path: folder.clone(), source })?;
        for panel in reproduction_figures(record)?.into_iter().flat_map(|figure| figure.panels) {
            let path = folder.join(&panel.file);
            write_atomically(&path, |file| file.write_all(panel.svg.as_bytes()))?;
            written.push(path);
        }
    }
    Ok(written)
}

/// Directory name of each reproduction: the name of its data set. A repeated name is followed by the encoder's size or,
/// if that is the same, by a number.
pub(super) fn folders(records: &[ReproductionRecord]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for record in records {
        let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c.to_ascii_lowercase() } else { '_' };
        let (name, model) = (record.data.name.chars().map(plain).collect::<String>(), &record.model);
        let sized = format!("{name}_{}x{}x{}", model.layers, model.heads, model.hidden);
        let another = records[..names.len()].iter().all(|earlier| earlier.model != *model);
        let numbered = (2..).map(|number| format!("{name}_{number}"));
        let mut possible = std::iter::once(name.clone()).chain(another.then_some(sized)).chain(numbered);
        names.extend(possible.find(|name| !names.contains(name)));
    }
    names
}

/// Title of each reproduction: its data set. A repeated title also has the encoder, or the methods that earlier
/// reproductions lack.
pub(super) fn titles(records: &[ReproductionRecord]) -> Vec<String> {
    let titles = records.iter().enumerate().map(|(at, record)| {
        let name = &record.data.name;
        let earlier: Vec<&ReproductionRecord> =
            records[..at].iter().filter(|earlier| earlier.data.name == *name).collect();
        if !earlier.is_empty() && earlier.iter().all(|earlier| earlier.model != record.model) {
            let model = &record.model;
            return format!("{name}, {} layers of {} heads, width {}", model.layers, model.heads, model.hidden);
        }
        let known = |method: &str| earlier.iter().flat_map(|earlier| &earlier.rows).any(|row| row.method == method);
        let mut new: Vec<&str> = record.rows.iter().map(|row| row.method.as_str()).collect();
        new.retain(|method| !earlier.is_empty() && !known(method));
        new.dedup();
        if new.is_empty() { name.clone() } else { format!("{name}: {}", new.join("; ")) }
    });
    titles.collect()
}

/// Line with the command, the data, the model and the machine.
pub(super) fn run_line(record: &ReproductionRecord) -> String {
    let (model, machine) = (&record.model, &record.machine);
    let versions: Vec<String> = machine.versions.iter().map(|(name, version)| format!("{name} {version}")).collect();
    let text = format!(
        "From {}. {}. {} layers of {} heads, width {}, {} parameters. {}, {} threads, {}, {}; {}.",
        record.command.join(" "),
        record.data.summary(),
        model.layers,
        model.heads,
        model.hidden,
        model.parameters,
        machine.cpu,
        machine.cores,
        machine.device,
        machine.system,
        versions.join(", ")
    );
    markdown_text(&text)
}

/// Markdown for a figure. Figures of costs are embedded; the DHT paper's figures are only linked.
fn figure_links(figure: &Figure, folder: &str) -> String {
    let mut text = String::new();
    let path = |file: &str| format!("../{FIGURES}/{folder}/{file}");
    let heading = markdown_text(&figure.heading());
    let shown = figure.number.is_none();
    if shown {
        for panel in &figure.panels {
            text.push_str(&format!("![{}]({})\n\n", markdown_text(&panel.alt), path(&panel.file)));
        }
    }
    let caption = markdown_text(&figure.caption);
    text.push_str(&format!("{}**{heading}.** {caption}", if shown { "" } else { " - " }));
    if !shown {
        let links =
            figure.panels.iter().map(|panel| format!("[{}]({})", panel.file.replace('_', "\\_"), path(&panel.file)));
        let links: Vec<String> = links.collect();
        text.push_str(&format!(" {}", links.join(", ")));
    }
    text.truncate(text.trim_end().len());
    text.push_str("\n\n");
    text
}

fn differences(record: &ReproductionRecord) -> String {
    let with = record.rows.iter().filter(|row| !row.deviations.is_empty());
    let items: Vec<String> = with.map(|row| format!("{}: {}", row_name(row), row.deviations.join("; "))).collect();
    if items.is_empty() { "No row names a difference.\n\n".into() } else { list(&items) }
}

/// Formats sentences as a Markdown list, followed by an empty line. Returns an empty text without sentences.
fn list(items: &[String]) -> String {
    if items.is_empty() {
        return String::new();
    }
    let items: String = items.iter().map(|item| format!(" - {}\n", markdown_text(item))).collect();
    items + "\n"
}

#[cfg(test)]
mod tests;
