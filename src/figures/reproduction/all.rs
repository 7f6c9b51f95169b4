//! All figures of a reproduction.

use super::figure::Figure;
use super::{at_costs, costs, diagram, dynamics};
use crate::error::Result;
use crate::record::ReproductionRecord;

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
