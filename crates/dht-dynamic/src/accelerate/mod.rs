//! Makes a dynamic model of a fine-tuned classifier without touching its weights.
//!
//! ```text
//!             ┌─ n-gram classifier ──────────┬──────────────┬─────────── … ──┐
//!   text ─────┤        │ sure?               ▼              ▼                ▼
//!             └────────┴─ layer 1 ─▶ exit ─(+)─ sure? ─▶ exit ─(+)─ … ─▶ classifier ─(+)─▶ class
//!                         frozen                    a·ln p(n-gram) + b·ln p(exit)
//! ```
//!
//! 1. The encoder runs once over the texts. The pooled states at each exit are kept, and of as many texts as there is
//!    [room](AccelerateSettings::cache_bytes) for, all states.
//! 2. Each exit is a multinomial logistic regression on standardised states; C is the one of the least loss on held-out texts, or where
//!    all texts are cross-fitted, on the folds that it has not seen. Folded into a linear classifier it costs nothing more. Exits that
//!    are trained together with the encoder stay far from that optimum, and cost the encoder accuracy.
//! 3. Where texts are held out, each exit and a [narrow layer](crate::exit::ExitKind::SideLayer) beside it go on from there together for
//!    some passes over the states, from labels and from what the classifier says: first layers know too little that is linear. Then
//!    the held-out texts run through the encoder again.
//! 4. The [n-gram classifier](crate::exit::NgramClassifier) is fitted on the same texts, with a C from its own cross-validation. It reads
//!    each text before the encoder does and is wrong on other texts than the encoder.
//! 5. At each exit, the classifier itself included, two weights [stack](crate::exit::Stacker) both. They are fitted on held-out texts, or
//!    on the answers to folds that were not seen.
//! 6. A text goes on while the stacked answers' uncertainty, 1 − max p or by another [rule](AccelerateSettings::rule), is not below a
//!    threshold, the model's [speed](crate::DynamicModel::set_speed); [other routers](Accelerated::with_router) are options. The
//!    [`Report`] has the curve of accuracy against FLOPs on the held-out texts; the model begins with the cheapest threshold at which
//!    they [lose nothing](crate::evaluation::Stages::lossless): as accurate as the classifier, and as confident as its stacked answers.
//!
//! | step | is done by |
//! |---|---|
//! | all, in this order | `accelerate.rs`; `parts.rs` says which texts are held out |
//! | the exits, before they are fitted | `model/of_classifier.rs`, which also writes the linear fits into them |
//! | 1 | `pooled_states.rs`, with `training/state_cache.rs` |
//! | 2 | `linear_fit.rs`, with `logistic/` |
//! | 3 | `side_training.rs`, with `training/frozen_exits.rs` and `exit/side_layer.rs` |
//! | 4 | `exit/ngram/` |
//! | 5 | `exit/stacker.rs` |
//! | 6 | `evaluation/stages/`, `report.rs` |
//!
//! The classifier's own logits at the last exit are its own to the bit, whatever is stacked on them.

#[expect(clippy::module_inception, reason = "the function is in the file of its name")]
mod accelerate;
mod accelerated;
mod linear_fit;
mod parts;
mod pooled_states;
mod report;
mod settings;
mod side_training;

pub use crate::evaluation::SpeedPoint;
pub use accelerate::{LEAST_TEXTS, accelerate};
pub use accelerated::Accelerated;
pub use parts::Texts;
pub use report::{JudgedOn, Report, StageReport};
pub use settings::{AccelerateSettings, SideSettings, Targets};
