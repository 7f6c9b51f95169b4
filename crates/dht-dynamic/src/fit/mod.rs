//! Steps of fitting early exits to a frozen classifier. [`accelerate`](fn@crate::accelerate::accelerate) and [training
//! in rungs](crate::ladder) run these steps in sequence.
//!
//! | step | file | result |
//! |---|---|---|
//! | split the texts | `texts.rs` | [`FitTexts`]: training texts, and held-out texts or folds |
//! | 1. run the encoder | `states.rs` | [`ExitStates`]: pooled hidden states at each exit |
//! | 2. fit the linear exits | `linear.rs` | [`LinearExits`]: selected penalties, and predictions for the selection texts |
//! | 3. train the side layers | `side.rs` | `SideLayers`: the model with side layers, and the predictions of its exits |
//! | 1 to 3 for a classifier | `exits.rs` | [`FittedExits`]: all exits; the last one is the classifier itself |
//! | 4. fit the n-gram classifier | `ngram.rs` | [`JudgedFront`]: the n-gram classifier, and its predictions |
//! | 5. stack it on each exit | `stack.rs` | `StackedModel`: the dynamic model, and the stacked predictions of each exit |
//! | 6. select the speed | `threshold.rs` | [`Built`]: the model at its default speed (exit threshold) |
//!
//! `settings.rs` has the user's settings, `report.rs` the report for the user, and `step.rs` the progress events.
//!
//! The inverse penalty C, the stacking weights and the speed are selected on the selection texts, which the code calls
//! *judged* texts. These are the held-out texts, if there are any. Otherwise all texts are cross-fitted: each text is
//! predicted by a model that was fitted without it.

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
