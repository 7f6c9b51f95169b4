//! FastBERT (Liu et al. 2020): exits that are distilled from a frozen, trained classifier, and an entropy threshold.
//!
//! ```text
//! backbone    a TextClassifier, fine-tuned before; it is frozen, and its classifier is the last exit
//! training    Σⱼ τ²·KL(softmax(t/τ) ‖ softmax(zⱼ/τ))   over the exits j before the last, whose logits are t; labels are not used
//! inference   a text leaves at the first exit where −Σ p·ln p / ln C < speed
//! ```
//!
//! At speed 0 it is the backbone, to the bit. Speeds are normalised entropies: .1 is slow, .8 is fast.
//!
//! Differences from the source:
//!
//! - Its classifiers are a projection to 128 dimensions, self-attention over all tokens there, and two more layers on the first
//!   token. Ours are [a layer of 128 columns](ExitKind::SideLayer), that is with a feed-forward, whose tokens are averaged and added to a
//!   linear classifier; or [side exits](ExitKind::Side), or linear ones.
//! - The backbone's own classifier, too, is of that kind in the source; here it is whatever the [`TextClassifier`] has.
//! - The paper has KL(p_s ‖ p_t), its released code KL(p_t ‖ p_s), as here. Both have τ = 1, the default.
//! - Its code leaves dropout on in the frozen backbone; here the exits learn the states and answers that inference has.

use dht_dynamic::evaluation::LeavingRule;
use dht_dynamic::exit::ExitKind;
use dht_dynamic::training::{ExitTargets, FrozenExits};
use dht_dynamic::{DynamicModel, ExitModel};
use dht_transformer::{Pooling, TextClassifier};
use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::error::Result;

/// The options of FastBERT. How long the exits are distilled, and with which learning rate, are the
/// [trainer's](dht_transformer::TrainSettings).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FastBertSettings {
    /// A text leaves where the normalised entropy is below it. It changes nothing in the training;
    /// [`DynamicModel::set_speed`] sets it later, and [`calibrate`](dht_dynamic::evaluation::calibrate()) finds it for a budget.
    pub speed: f64,
    /// The depths of the exits, ascending, the last of them the backbone's; `None` for every layer, as in the source.
    pub exits: Option<Vec<usize>>,
    /// The exits before the last.
    pub exit_kind: ExitKind,
    /// How they pool the states of a text.
    pub pooling: Pooling,
    /// The temperature τ of the distillation, above 0.
    pub temperature: f64,
}

impl Default for FastBertSettings {
    /// Side layers of 128 columns after every layer, τ = 1, and a middle speed.
    fn default() -> Self {
        let exit_kind = ExitKind::SideLayer { width: 128 };
        Self { speed: 0.5, exits: None, exit_kind, pooling: Pooling::Mean, temperature: 1.0 }
    }
}

/// The distillation of new exits from a backbone that has been fine-tuned. The model has weights of its own, copies of the
/// backbone's, a threshold router and the speed of the settings.
///
/// # Errors
/// [`Error::Setting`](crate::Error::Setting) for a temperature that is not above 0; as [`ExitModel::of_classifier`].
pub fn fastbert<R: Rng + ?Sized>(
    backbone: &TextClassifier,
    settings: &FastBertSettings,
    rng: &mut R,
) -> Result<FrozenExits> {
    let kind = (settings.exit_kind, settings.pooling);
    let model = ExitModel::of_classifier(backbone, settings.exits.as_deref(), kind, rng)?;
    let model = DynamicModel::new(model, LeavingRule::Entropy)?.with_speed(settings.speed)?;
    Ok(FrozenExits::new(model, ExitTargets::SoftLabels { temperature: settings.temperature })?)
}
