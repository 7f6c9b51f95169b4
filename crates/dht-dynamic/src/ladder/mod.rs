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
//! Otherwise a [`NextStep`] decides after each rung and, in rung 2, at each validation. The default, [`GainPerFlop`],
//! goes on while the validation loss falls fast enough for what it costs. How many passes that takes is not known
//! beforehand, so the learning rate does not follow a schedule over all of them: after a warm-up it stays at its peak,
//! in rounds of one pass, each of which starts from the best parameters of the round before. When the rule ends the
//! training, half a pass follows in which the rate falls to 0 (Hägele et al. 2024, "Scaling Laws and Compute-Optimal
//! Training Beyond Fixed Training Durations"), but not after a first pass that lowered the loss by less than 2 %. A
//! round after which the loss is higher than before is undone. The result is rung 2 where the validation loss of
//! the finished model is below that of rung 1, else rung 1.

// The walk is `ladder.rs`: `rung_texts.rs` decides which rows are fitted on and which judge, `rungs.rs` builds the model of
// each rung from the steps in `fit/`, `fine_tuning.rs` plans the rounds of rung 2, `round.rs` runs one, `next_step.rs`
// decides what pays.

mod fine_tuning;
#[expect(clippy::module_inception, reason = "the function is in the file of its module")]
mod ladder;
mod next_step;
mod report;
mod round;
mod rung_model;
mod rung_texts;
mod rungs;
mod settings;

pub use ladder::{Climbed, climb};
pub use next_step::{GainPerFlop, NextStep};
pub use report::{LadderEvent, LadderReport, Measurement, Rung, Stop};
pub use rung_model::OutOfFold;
pub use settings::{LadderSettings, LadderTexts};
