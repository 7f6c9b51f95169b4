//! PABEE (Zhou et al. 2020): patience-based early exit. A classifier after every layer is trained jointly with the
//! encoder. A text stops when enough consecutive classifiers agree.
//!
//! ```text
//! training    L = Σⱼ j·Lⱼ / Σⱼ j     over the exits after j = 1 … n layers, each with the cross-entropy Lⱼ of all samples
//! inference   cnt ← cnt + 1 where an exit and the one before predict one class, otherwise 0; leave where cnt = patience
//! ```
//!
//! PABEE is trained by a [`SearchObjective`] with the exit losses [`ExitLosses::Weighted`] (weight 1 and power 1) and
//! [`RouterKind::Patience`], with which every training text runs all layers. Differences from the PABEE paper and its
//! code (the source):
//!
//! - Options of this crate: exits after some layers only, side layers as exits, and other poolings.
//! - Patience for regression (agreement up to a tolerance) is not implemented.
//! - The source's classifiers are linear on the output of BERT's pooler. Here they are linear on the mean of the states
//!   by default.

use dht_dynamic::exit::ExitKind;
use dht_transformer::{Encoder, Pooling};
use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::model::SearchModel;
use crate::settings::{ClassifierSharing, ExitLosses, RouterKind, SearchSettings};
use crate::space::{SearchSpace, SpaceConfig};
use crate::training::SearchObjective;

/// Settings of PABEE, except for the number of epochs and the learning rate, which
/// [`TrainSettings`](dht_transformer::TrainSettings) contains.
///
/// # Examples
/// ```
/// use dht_search::baselines::pabee::PabeeSettings;
/// use dht_search::settings::RouterKind;
///
/// let settings = PabeeSettings { patience: 3, ..PabeeSettings::default() };
/// assert_eq!(settings.search().router, RouterKind::Patience { patience: 3 });
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PabeeSettings {
    /// Number of consecutive exits that must agree with the exit before them; at least 1. It does not affect training.
    /// To change it later, call [`SearchModel::set_speed`] with 1 / patience.
    pub patience: u32,
    /// Depths of the exits in layers, ascending; the last is the encoder's depth. `None` for an exit after every layer,
    /// as in the PABEE paper.
    pub exits: Option<Vec<usize>>,
    /// Type of the exits: linear, or a side layer.
    pub exit_kind: ExitKind,
    /// Pooling of token states in the exits.
    pub pooling: Pooling,
}

impl Default for PabeeSettings {
    /// Returns settings with patience 6 (half of twelve layers) and a linear exit on the mean of the token states after
    /// every layer.
    fn default() -> Self {
        Self { patience: 6, exits: None, exit_kind: ExitKind::Linear, pooling: Pooling::Mean }
    }
}

impl PabeeSettings {
    /// Search settings by which PABEE is trained, with the patience as router.
    pub fn search(&self) -> SearchSettings {
        SearchSettings {
            router: RouterKind::Patience { patience: self.patience },
            exit_losses: ExitLosses::Weighted { weight: 1.0, power: 1.0 },
            exit_kind: self.exit_kind,
            classifier_sharing: ClassifierSharing::PerExit,
            pooling: self.pooling,
            ..SearchSettings::default()
        }
    }
}

/// Creates the training objective of PABEE: an encoder with an exit after every layer, or after the layers in
/// `settings.exits`.
///
/// # Errors
/// * [`Argument`](dht_dynamic::Error::Argument) if the patience is 0, if the exits or a side exit are out of range, if
///   the encoder has a single layer, or if there are fewer than two classes.
/// * [`Exit`](dht_dynamic::Error::Exit) if the exits do not ascend to the encoder's last layer.
pub fn pabee<R: Rng + ?Sized>(
    encoder: Encoder,
    classes: usize,
    settings: &PabeeSettings,
    rng: &mut R,
) -> Result<SearchObjective> {
    let (layers, heads) = (encoder.layers(), encoder.block_shape().heads);
    let exits = settings.exits.clone().unwrap_or_else(|| (1..=layers).collect());
    let space = SearchSpace::new(SpaceConfig::of_full_heads(layers, heads, exits))?;
    SearchObjective::new(SearchModel::new(encoder, space, settings.search(), classes, rng)?)
}
