//! Training in rungs: each costs more than the one before, and is climbed only while it pays.
//!
//! | rung | model | cost |
//! |---|---|---|
//! | 0 | [exit 0](crate::exit::NgramClassifier) alone: n-grams of the text | almost nothing |
//! | 1 | the pre-trained encoder as it is, with a logistic regression at every exit, each stacked with exit 0 | one forward pass, and the convex fits |
//! | 2 | the encoder fine-tuned in all layers (not the word embeddings, which exit 0 reads), starting from rung 1's regression; exits fitted again | a forward and a backward pass for each pass over the rows |
//!
//! Fine-tuning that starts from the regression on frozen states ("linear probing, then fine-tuning", Kumar et al. 2022)
//! does not distort what the encoder knows, and needs fewer passes than from a random head. Whether it is worth its cost
//! depends on the task. Where an encoder's states already separate the classes, as sentence embeddings often separate
//! topics and intents, rung 1 is as good as many passes; where they do not, as for sentiment, fine-tuning is needed.
//!
//! With fewer than 20 validation rows the training ends at rung 1: they cannot tell whether fine-tuning helps.
//! Otherwise a [`NextStep`] decides after each rung and, in rung 2, at each validation. The default, [`UnlessStill`],
//! fine-tunes for three passes, in which the learning rate rises to its peak and falls to 0; few rows are repeated for
//! 300 steps, in up to seven passes. It ends early only where the first quarter moves the validation loss by less than
//! 0.5 %: such an encoder does not learn from these rows at this rate. The parameters of the least validation loss are
//! kept. The result is rung 2 where the validation loss of the finished model is at least 1 % below that of rung 1, else
//! rung 1.
//!
//! Numbers have no exits. Their rung 1 is [`fit_head`], from which they are fine-tuned.

// `length.rs` selects the length of the texts before the training, `learning_curve.rs` measures what more rows would give.
// The walk is `ladder.rs`: `rung_texts.rs` decides which rows are fitted on and which judge, `rungs.rs` builds the model of
// each rung from the steps in `fit/`, `fine_tuning.rs` plans rung 2, `tuning_run.rs` runs it, `next_step.rs` decides what pays.

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
pub use learning_curve::{LearningCurve, LearningPoint, learning_curve};
pub use length::choose_length;
pub use length_choice::{LengthChoice, LengthTrial};
pub use next_step::{NextStep, UnlessStill};
pub use report::{LadderEvent, LadderReport, Measurement, Rung, Stop};
pub use rung_model::OutOfFold;
pub use settings::{LadderSettings, LadderTexts};
