//! Training in up to three steps of increasing cost, called rungs. Each rung builds a complete model, and a stopping
//! rule decides whether the next rung is worth its cost.
//!
//! | rung | model | cost |
//! |---|---|---|
//! | 0 | [exit 0](crate::exit::NgramClassifier) alone: n-grams of the text | almost nothing |
//! | 1 | the frozen pre-trained encoder, with a logistic regression at every early exit, each combined (stacked) with exit 0 | one forward pass, and the convex fits |
//! | 2 | the encoder fine-tuned in all layers (not the word embeddings, which exit 0 reads), starting from the regression of rung 1; exits are fitted again | a forward and a backward pass for each epoch over the rows |
//!
//! Fine-tuning starts from the regression on frozen states ("linear probing, then fine-tuning", Kumar et al. 2022).
//! Compared with a random last layer, this start does not distort the encoder's features and needs fewer passes.
//! Whether fine-tuning is worth its cost depends on the task. If an encoder's states already separate the classes, as
//! sentence embeddings often separate topics and intents, rung 1 is as good as many passes of fine-tuning. If they do
//! not, as for sentiment, fine-tuning is needed.
//!
//! With fewer than 20 validation rows, training ends at rung 1, since so few rows cannot show whether fine-tuning
//! helps. Otherwise the stopping rule, a [`NextStep`], decides after each rung and, in rung 2, after each validation.
//!
//! Fine-tuning is planned for three passes, in which the learning rate rises to its peak and falls to 0. Small data
//! sets get up to seven passes, to reach 300 steps. The default stopping rule, [`UnlessStill`], ends fine-tuning early
//! only if the first quarter of the passes changes the validation loss by less than 0.5 %. The encoder then does not
//! learn from the rows at this learning rate. The parameters with the lowest validation loss are used. The result is
//! the model of rung 2 if its validation loss is at least 1 % below the loss of rung 1, and the model of rung 1
//! otherwise.
//!
//! [Class weights](crate::accelerate::AccelerateSettings::class_weights) apply to every rung: to the fits, to the loss
//! of fine-tuning, and to the validation losses by which rungs, learning rates, lengths and the default speed are
//! selected.
//!
//! Regression models, which predict numbers, have no early exits. Their rung 1 is [`fit_head`], from which fine-tuning
//! starts.

// Before training, `length.rs` selects the maximum length of the texts, and `learning_curve.rs` measures whether more
// rows would help. `ladder.rs` runs the rungs in order. `rung_texts.rs` splits the rows into rows to fit on and rows to
// score on, and `rungs.rs` builds the model of each rung from the steps in `fit/`. `fine_tuning.rs` plans rung 2,
// `tuning_run.rs` runs it, and `next_step.rs` has the stopping rule.

mod fine_tuning;
mod head;
#[expect(clippy::module_inception, reason = "the function is in the file of its module")]
mod ladder;
mod learning_curve;
mod length;
mod length_choice;
mod next_step;
mod report;
mod rung_model;
mod rung_texts;
mod rungs;
mod settings;
mod tuning_run;

pub use head::{HeadFit, fit_head, mean_loss};
pub use ladder::{Climbed, climb};
pub use learning_curve::{LearningCurve, LearningPoint, LearningPrediction, learning_curve};
pub use length::choose_length;
pub use length_choice::{LengthChoice, LengthTrial};
pub use next_step::{NextStep, UnlessStill};
pub use report::{LadderEvent, LadderReport, Measurement, Rung, Stop};
pub use rung_model::OutOfFold;
pub use settings::{LadderSettings, LadderTexts};
