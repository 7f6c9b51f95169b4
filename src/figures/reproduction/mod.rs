//! The figures of a reproduction: scores against costs, and the paper's figures 1 to 7.

mod at_costs;
mod costs;
mod diagram;
mod dynamics;
mod labels;
mod markers;

pub(crate) use self::markers::name as group_name;
use super::style::DrawError;
use crate::error::{Error, Result};
use crate::record::ReproductionRecord;

/// A figure of one or more panels.
pub(crate) struct Figure {
    /// The number of the paper's figure that it repeats; `None` for one that the paper does not have.
    pub(crate) number: Option<usize>,
    pub(crate) title: String,
    pub(crate) caption: String,
    /// Empty where the record has nothing to show, which the caption says.
    pub(crate) panels: Vec<Panel>,
}

/// An SVG of its own.
pub(crate) struct Panel {
    /// The file's name: `flops.svg`.
    pub(crate) file: String,
    /// What it shows, for readers who do not see it.
    pub(crate) alt: String,
    pub(crate) svg: String,
}

impl Figure {
    /// `Figure 2. Depths and head counts …`, or the title alone.
    pub(crate) fn heading(&self) -> String {
        match self.number {
            Some(number) => format!("Figure {number}. {}", self.title),
            None => self.title.clone(),
        }
    }
}

/// All figures of a reproduction: scores against costs first, then the paper's in their order.
///
/// # Errors
/// [`Error::Figure`] when a figure cannot be drawn.
pub(crate) fn reproduction_figures(record: &ReproductionRecord) -> Result<Vec<Figure>> {
    let mut figures: Vec<Figure> = at_costs::figure(record)?.into_iter().collect();
    figures.extend(costs::figures(record)?);
    figures.push(diagram::figure());
    figures.extend(dynamics::figures(record)?);
    Ok(figures)
}

/// A panel, or the error of its drawing.
fn panel(file: &str, alt: String, svg: Result<String, DrawError>) -> Result<Panel> {
    let svg = svg.map_err(|error| Error::Figure { figure: file.to_owned(), message: error.to_string() })?;
    Ok(Panel { file: file.to_owned(), alt, svg })
}

#[cfg(test)]
mod tests;
