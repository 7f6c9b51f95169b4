//! Figures of a reproduction: scores against costs, and the DHT paper's figures 1 to 7.

mod all;
mod at_costs;
mod costs;
mod diagram;
mod dynamics;
mod figure;
mod labels;
mod markers;

pub(crate) use self::all::reproduction_figures;
pub(crate) use self::figure::{Figure, Panel};
pub(crate) use self::markers::name as group_name;

#[cfg(test)]
mod tests;
