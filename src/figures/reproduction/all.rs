//! All figures of a reproduction.

use super::figure::Figure;
use super::{at_costs, costs, diagram, dynamics};
use crate::error::Result;
use crate::record::ReproductionRecord;

/// Draws all figures of a reproduction: first scores against costs, then the DHT paper's figures in their order.
///
/// # Errors
/// [`Error::Figure`] if a figure cannot be drawn.
pub(crate) fn reproduction_figures(record: &ReproductionRecord) -> Result<Vec<Figure>> {
    let mut figures: Vec<Figure> = at_costs::figure(record)?.into_iter().collect();
    figures.extend(costs::figures(record)?);
    figures.push(diagram::figure());
    figures.extend(dynamics::figures(record)?);
    Ok(figures)
}
