//! Types of early exits: linear, with a side layer, or custom.

use dht_transformer::{Encoder, Pooling};
use rand::Rng;
use serde::{Deserialize, Serialize};

use super::builder::ExitPlace;
use super::exit::LayerExit;
use super::linear::LinearExit;
use super::side_layer::SideLayerExit;
use crate::error::{Error, Result};

/// Type of the classifier at an early exit: linear, with a side layer, or custom.
///
/// # Examples
/// ```
/// use dht_dynamic::exit::ExitKind;
/// use dht_dynamic::transformer::Pooling;
///
/// assert!(ExitKind::SideLayer { width: 64 }.check(Pooling::Mean).is_ok());
/// // A width above 32 must be a multiple of 32. An exit with a side layer cannot have a pooler.
/// assert!(ExitKind::SideLayer { width: 40 }.check(Pooling::Mean).is_err());
/// assert!(ExitKind::SideLayer { width: 64 }.check(Pooling::Pooler).is_err());
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ExitKind {
    /// Linear classifier on pooled hidden states.
    #[default]
    Linear,
    /// Linear classifier on pooled hidden states, plus a side layer: a narrow transformer layer that reads the hidden
    /// states of all tokens.
    ///
    /// For hidden states h, the logits are pool(h)·Wᵀ + b + mean(layer(h·Dᵀ + d))·Vᵀ + c, with the weights W, D, V and
    /// the biases b, d, c. This is ladder side-tuning (Sung et al. 2022) with one layer for each exit. FastBERT's exits
    /// also have self-attention. A layer with a width of 64 costs about a thirtieth of a layer with a width of 384.
    /// [`Pooling::Pooler`] is not allowed.
    SideLayer {
        /// Width of the narrow layer, in columns: 1 to 32, or a multiple of 32 up to 4,096.
        width: usize,
    },
    /// Custom classifier, defined by the calling program: see [`ExitModel::with_exits`](crate::ExitModel::with_exits).
    Own,
}

impl ExitKind {
    /// Checks the width of a side layer, and whether this type of exit supports `pooling`.
    ///
    /// # Errors
    /// [`Error::Argument`] if the width is out of range, or if a side layer is combined with [`Pooling::Pooler`].
    pub fn check(self, pooling: Pooling) -> Result<()> {
        match self {
            Self::Linear | Self::Own => Ok(()),
            Self::SideLayer { width }
                if !((1..=32).contains(&width) || (64..=4_096).contains(&width) && width.is_multiple_of(32)) =>
            {
                Err(Error::argument("exit_kind.side_layer.width", "1 to 32, or a multiple of 32 up to 4,096", width))
            }
            Self::SideLayer { .. } if pooling == Pooling::Pooler => {
                Err(Error::argument("pooling", "cls or mean: a side exit has a layer of its own", "pooler"))
            }
            Self::SideLayer { .. } => Ok(()),
        }
    }

    /// Creates a new exit of this type, and adds its parameters to the encoder.
    ///
    /// # Errors
    /// * [`Error::Argument`] if the exit is [`Own`](Self::Own), since this function cannot build custom exits.
    /// * Errors of the encoder, for example if there are fewer than two classes, or if a parameter's name is already
    ///   used.
    pub fn build<R: Rng + ?Sized>(
        self,
        encoder: &mut Encoder,
        place: ExitPlace<'_>,
        pooling: Pooling,
        rng: &mut R,
    ) -> Result<Box<dyn LayerExit>> {
        Ok(match self {
            Self::Linear => Box::new(LinearExit::new(encoder, place, pooling, rng)?),
            Self::SideLayer { width } => Box::new(SideLayerExit::new(encoder, place, pooling, width, rng)?),
            Self::Own => {
                return Err(Error::argument(
                    "exit_kind",
                    "linear or side_layer: custom exits are built by `ExitModel::with_exits`",
                    "own",
                ));
            }
        })
    }
}
