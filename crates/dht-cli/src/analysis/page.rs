//! HTML page of an analysis, as one self-contained file.

use askama::Template;
use dht_dynamic::transformer::Task;

use super::analysis::Analysis;
use super::sections::{Figure, Grid, Section, sections};
use crate::error::{Error, Result};
use crate::results::{ResultRow, curve_of, results_table};

/// Contents of the HTML page in addition to the analysis.
#[derive(Debug, Clone, Copy)]
pub struct PageFacts<'a> {
    /// Path of the model.
    pub model: &'a str,
    /// Properties of the model, as names and values.
    pub of_model: &'a [(String, String)],
    /// Name of the data set.
    pub data: &'a str,
    /// Properties of the scored rows, as names and values.
    pub of_data: &'a [(String, String)],
    /// Warnings and notes on the scored rows.
    pub notes: &'a [String],
    /// Scores and costs of the model at several speeds (exit thresholds).
    pub rows: &'a [ResultRow],
    /// Task of the model.
    pub task: Task,
}

/// Template of the HTML page. All texts are escaped.
#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    title: String,
    notes: &'a [String],
    sections: Vec<Section>,
    version: &'static str,
}

/// Formats an analysis as an HTML page.
///
/// # Errors
/// [`Error::Curve`] if a figure cannot be drawn or the page cannot be formatted.
pub fn page(analysis: &Analysis, facts: PageFacts<'_>) -> Result<String> {
    let mut all = sections(analysis)?;
    all.insert(1, costs(facts)?);
    all.push(Section::new("model", "Model and data").grid(Grid::pairs("Model", facts.of_model)));
    if let Some(section) = all.last_mut() {
        section.grids.push(Grid::pairs("Data", facts.of_data));
    }
    let title = format!("{} on {}", facts.model, facts.data);
    let page = Page { title, notes: facts.notes, sections: all, version: env!("CARGO_PKG_VERSION") };
    page.render().map_err(|error| Error::Curve { message: error.to_string() })
}

/// Section on the model's scores at several costs.
fn costs(facts: PageFacts<'_>) -> Result<Section> {
    let (titles, rows) = results_table(facts.rows, facts.task).into_parts();
    let mut section = Section::new("speeds", "Score and cost at each speed");
    section.lead.push(
        "FLOPs are shares of the full model's. Texts per second are of tokenised texts in batches of 64 on the machine of \
         this run. All other sections are about the default speed."
            .into(),
    );
    if let Some(svg) = curve_of(facts.rows, super::figures::SIZE)? {
        let alt = "Score against cost of each speed. The table has the same numbers.";
        section.figures.push(Figure::new(&svg, alt));
    }
    Ok(section.grid(Grid::new("Scores and costs", titles, rows)))
}
