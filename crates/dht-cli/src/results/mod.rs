//! Scores and costs of a model: as rows, a table, a diagram, and the card in the model's directory.

mod card;
mod curve;
mod rows;
mod table;

pub use card::{CardFacts, card, promise};
pub use curve::{curve, training_curve};
pub use rows::{cheaper_note, majority_note, own_row, results, results_table};
pub use table::Table;
