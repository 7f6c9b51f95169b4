//! FastBERT (Liu et al. 2020): exits distilled from a frozen, trained classifier, and an entropy threshold.
//!
//! ```text
//! backbone    a TextClassifier, fine-tuned before; it is frozen, and its classifier is the last exit
//! training    Σⱼ τ²·KL(softmax(t/τ) ‖ softmax(zⱼ/τ))   over the exits j before the last, whose logits are t; labels are not used
//! inference   a text leaves at the first exit where −Σ p·ln p / ln C < speed
//! ```
//!
//! The speed is an entropy threshold: a text stops at the first exit where the entropy of the probabilities, normalised
//! to at most 1, is below the threshold. A speed of .1 is slow and .8 is fast. At speed 0 every text runs all layers,
//! and the outputs equal the backbone's bit for bit.
//!
//! Differences from the FastBERT paper and its code (the source):
//!
//! - In the source, an exit is a projection to 128 dimensions, self-attention over all tokens, and two more layers on
//!   the first token. Here it is [a transformer layer of width 128](ExitKind::SideLayer) with a feed-forward network;
//!   the mean over its tokens is added to a linear classifier. Linear exits are also possible.
//! - In the source the backbone's classifier has the same form as the exits; here it is the classifier of the
//!   [`TextClassifier`].
//! - The FastBERT paper has KL(p_s ‖ p_t), of the student's and the teacher's probabilities. Its released code has
//!   KL(p_t ‖ p_s), as here. Paper and code have the temperature τ = 1, which is the default here.
//! - The released code keeps dropout on in the frozen backbone. Here the exits learn from the backbone's states and
//!   answers without dropout, as at inference.

use dht_dynamic::exit::ExitKind;
use dht_dynamic::router::LeavingRule;
use dht_dynamic::training::{ExitTargets, FrozenExits};
use dht_dynamic::{DynamicModel, ExitModel};
use dht_transformer::{Pooling, TextClassifier};
use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::error::Result;

/// Settings of FastBERT, except for the number of epochs and the learning rate, which
/// [`TrainSettings`](dht_transformer::TrainSettings) contains.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FastBertSettings {
    /// Entropy threshold: a text stops at the first exit where the normalised entropy of the probabilities is below the
    /// threshold. It does not affect training. [`DynamicModel::set_speed`] changes the threshold later, and
    /// [`calibrate`](dht_dynamic::evaluation::calibrate()) selects a threshold for a budget of FLOPs.
    pub speed: f64,
    /// Depths of the exits in layers, ascending; the last is the backbone's depth. `None` for an exit after every
    /// layer, as in the FastBERT paper.
    pub exits: Option<Vec<usize>>,
    /// Type of the exits before the last: linear, or a side layer.
    pub exit_kind: ExitKind,
    /// Pooling of token states in the exits before the last.
    pub pooling: Pooling,
    /// Temperature τ of the distillation, above 0.
    pub temperature: f64,
}

impl Default for FastBertSettings {
    /// Returns settings with side layers of width 128 after every layer, temperature τ = 1, and a medium speed.
    fn default() -> Self {
        let exit_kind = ExitKind::SideLayer { width: 128 };
        Self { speed: 0.5, exits: None, exit_kind, pooling: Pooling::Mean, temperature: 1.0 }
    }
}

/// Creates the training objective of FastBERT, which distils new exits from a fine-tuned backbone. The model has a copy
/// of the backbone's weights and a router with the entropy threshold of the settings.
///
/// # Errors
/// * [`Argument`](dht_dynamic::Error::Argument) if the temperature is not above 0.
/// * As [`ExitModel::of_classifier`].
pub fn fastbert<R: Rng + ?Sized>(
    backbone: &TextClassifier,
    settings: &FastBertSettings,
    rng: &mut R,
) -> Result<FrozenExits> {
    let FastBertSettings { exits, exit_kind, pooling, .. } = settings;
    let model = ExitModel::of_classifier(backbone, exits.as_deref(), *exit_kind, *pooling, rng)?;
    let model = DynamicModel::new(model, LeavingRule::Entropy)?.with_speed(settings.speed)?;
    Ok(FrozenExits::new(model, ExitTargets::SoftLabels { temperature: settings.temperature })?)
}
