//! Steps of fitting early exits to a frozen classifier. [`accelerate`](fn@crate::accelerate::accelerate) and [training
//! in rungs](crate::ladder) run these steps in sequence.
//!
//! | step | file | result |
//! |---|---|---|
//! | split the texts | `texts.rs` | [`FitTexts`]: training texts, and held-out texts or folds |
//! | 1. run the encoder | `states.rs` | [`ExitStates`]: pooled hidden states at each exit |
//! | 2. fit the linear exits | `linear.rs` | [`LinearExits`]: their C, and their answers to the judged texts |
//! | 3. train the side layers | `side.rs` | `SideLayers`: the model with them, and the answers of its exits |
//! | 1 to 3 for a classifier | `exits.rs` | [`FittedExits`]: exits before the classifier, which is the last one |
//! | 4. fit the n-gram classifier | `ngram.rs` | [`JudgedFront`]: the classifier, and its answers |
//! | 5. stack it on each exit | `stack.rs` | `StackedModel`: the dynamic model, and the answers of each stage |
//! | 6. select the speed | `threshold.rs` | [`Built`]: the model at its default speed |
//!
//! `settings.rs` has the settings that a user chooses, `report.rs` the report that a user reads, and `step.rs` the
//! progress of a fit.
//!
//! The inverse penalty C, the stacking weights and the speeds (exit thresholds) are selected on the *judged* texts. The
//! judged texts are the held-out texts if there are any. Otherwise all texts are cross-fitted and judged: each text is
//! answered by a model that was fitted without it.

mod exits;
mod linear;
mod ngram;
mod report;
mod settings;
mod side;
mod stack;
mod states;
mod step;
mod texts;
mod threshold;

pub(crate) use exits::FittedExits;
pub(crate) use linear::{LinearExits, fit_last_exit, judged_by_rows};
pub(crate) use ngram::{JudgedFront, fit_ngrams};
pub(crate) use report::Lap;
pub use report::{Report, ScoredOn, StageReport};
pub use settings::{AccelerateSettings, SideSettings, Targets};
pub(crate) use side::{exit_model, side_flops};
pub(crate) use states::{ExitStates, LastExit};
pub use step::FitStep;
pub use texts::Texts;
pub(crate) use texts::{FitTexts, append};
pub(crate) use threshold::{Built, DEFAULT_SPEED};
