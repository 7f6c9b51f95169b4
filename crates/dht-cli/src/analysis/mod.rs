//! Analysis of a model's answers to labelled texts: confused classes, calibration, and the rows on which the model
//! fails.
//!
//! | step | file |
//! |---|---|
//! | scores with 95 % intervals | `estimate.rs` |
//! | scores by depth, length and class size | `parts.rs` |
//! | probabilities and right answers | `calibration.rs`, `coverage.rs` |
//! | all of it for one class, several labels or a number a text | `analysis.rs`, `classes.rs`, `labels.rs`, `numbers.rs`, `row_text.rs` |
//! | figures, sections, the HTML page | `figures.rs`, `sections.rs`, `page.rs` |
//! | sections of a model card | `card.rs` |

#[expect(clippy::module_inception, reason = "the type is in the file of its name")]
mod analysis;
mod calibration;
mod card;
mod classes;
mod coverage;
mod estimate;
mod figures;
mod labels;
mod numbers;
mod page;
mod parts;
mod row_text;
mod sections;

pub use analysis::Analysis;
pub use page::{PageFacts, page};
