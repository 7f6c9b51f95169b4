//! Scores and costs of a model, as a table, a diagram and a model card.
//!
//! | step | file |
//! |---|---|
//! | models to score, one for each row of the table | `rows.rs` |
//! | answers of all models, from one pass if the exits are selected by a threshold or another fixed rule | `answers.rs` |
//! | texts per second of each model, timed on some texts | `speed.rs` |
//! | rows: scores and costs, and notes on them | `rows.rs` |
//! | table, diagram, card | `table.rs`, `curve.rs`, `card.rs` |
//! | two models on the same texts | `comparison.rs` |
//! | statistics of the answers above a minimum probability | `sure.rs` |

mod answers;
mod card;
mod comparison;
mod curve;
mod rows;
mod speed;
mod sure;
mod table;

pub use answers::Answers;
pub use card::{CardFacts, card, promise};
pub use comparison::Difference;
pub use curve::{BLUE, Canvas, Drawn, INK, PALE, curve, curve_of, label_font, training_curve};
pub use rows::{OwnAnswers, ResultRow, Results, majority_note, own_row, results, results_table};
pub use sure::SureAnswers;
pub use table::Table;
