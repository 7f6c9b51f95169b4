//! Figures of results, as SVG. Drawing them requires no installed fonts.

mod head_sets;
mod heads;
mod kept_units;
mod loss;
mod reproduction;
mod shares;
mod style;

pub use self::kept_units::kept_units_figure;
pub(crate) use self::reproduction::{Figure, Panel, group_name, reproduction_figures};

#[cfg(test)]
mod tests;
