//! Commands: their arguments, and calls of the libraries. The file of each command has a function of the same name.
//!
//! Steps of the two commands that build a model, in order:
//!
//! | step | `dht train` (`train.rs`) | `dht accelerate` (`accelerate.rs`) |
//! |---|---|---|
//! | flags, checked before anything is read | `train/arguments.rs` | `accelerate/arguments.rs` |
//! | the output directory, checked to have no files except those of a saved model | `made.rs` | `made.rs` |
//! | the encoder or classifier to start from | `training/model_choice.rs`, `train/untrained.rs` | `accelerate.rs` |
//! | training, validation, calibration and test rows, and their token ids | `texts/` | `accelerate/texts.rs`, `texts/` |
//! | the report of the rows | `train.rs` | `accelerate.rs` |
//! | the trained model, in rungs (stages of increasing cost) or with all layers at once | `train/run.rs` | |
//! | exits, and the speed of the model | `acceleration.rs` | `acceleration.rs` |
//! | rows to score | `train.rs` | `accelerate.rs` |
//! | scores, card, files and the printed table | `made.rs`, `results/` | `made.rs`, `results/` |

mod accelerate;
mod arguments;
mod compare;
mod evaluate;
mod export;
mod inspect;
mod inspect_data;
mod loaded;
mod made;
mod output;
mod predict;
mod review;
#[cfg(feature = "server")]
mod serve;
mod target;
mod train;

pub use arguments::Arguments;
