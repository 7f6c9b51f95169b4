//! Acceleration: builds a dynamic model from a fine-tuned classifier without changing its weights.
//!
//! ```text
//!             ┌─ n-gram classifier ──────────┬──────────────┬─────────── … ──┐
//!   text ─────┤        │ sure?               ▼              ▼                ▼
//!             └────────┴─ layer 1 ─▶ exit ─(+)─ sure? ─▶ exit ─(+)─ … ─▶ classifier ─(+)─▶ class
//!                         frozen                    a·ln p(n-gram) + b·ln p(exit)
//! ```
//!
//! 1. The encoder runs once over the texts. The pooled states at each exit are stored. For the texts that [fit into
//!    memory](AccelerateSettings::cache_bytes), all states are stored.
//! 2. Each exit is a multinomial logistic regression on standardised states. C has the smallest loss on held-out texts,
//!    or for cross-fitted texts, on the unseen folds. Folded into a linear classifier, the regression costs nothing
//!    more. Exits that are trained together with the encoder stay far from that optimum, and cost the encoder accuracy.
//! 3. Where texts are held out, a [narrow layer](crate::exit::ExitKind::SideLayer) is added to each exit. Both are
//!    trained together for some passes over the states, from labels and from the classifier's probabilities: after the
//!    first layers the classes are not linearly separable in the pooled state. Then the held-out texts run through the
//!    encoder again.
//! 4. The [n-gram classifier](crate::exit::NgramClassifier) is fitted on the same texts, with a C from its own
//!    cross-validation. It reads each text before the encoder does, and its errors are on other texts than the
//!    encoder's.
//! 5. At each exit, including the classifier itself, two weights [stack](crate::exit::Stacker) both. They are fitted on
//!    held-out texts, or on the out-of-fold answers.
//! 6. A text continues while the uncertainty of the stacked answers, 1 − max p or another
//!    [rule](AccelerateSettings::rule), is not below a threshold, the model's [speed](crate::DynamicModel::set_speed).
//!    [Other routers](Accelerated::with_router) are available. The [`Report`] has the curve of accuracy against FLOPs
//!    on the held-out texts. The model starts with the cheapest threshold at which they [lose
//!    nothing](crate::evaluation::Stages::lossless): as accurate as the classifier, and as confident as its stacked
//!    answers.
//!
//! | step | implemented in |
//! |---|---|
//! | all, in this order | `accelerate.rs`; `parts.rs` selects the held-out texts |
//! | adding the exits, before they are fitted | `model/of_classifier.rs`, which also writes the linear fits into them |
//! | 1 | `pooled_states.rs`, with `training/state_cache.rs` |
//! | 2 | `linear_fit.rs`, with `logistic/` |
//! | 3 | `side_training.rs`, with `training/frozen_exits.rs` and `exit/side_layer.rs` |
//! | 4 | `exit/ngram/` |
//! | 5 | `exit/stacker.rs` |
//! | 6 | `evaluation/stages/`, `report.rs` |
//!
//! The classifier's logits at the last exit do not change, to the bit, whatever is stacked on them.

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
