//! Kinds of exits after a layer.

use dht_transformer::{Encoder, Pooling};
use rand::Rng;
use serde::{Deserialize, Serialize};

use super::builder::ExitPlace;
use super::exit::LayerExit;
use super::linear::LinearExit;
use super::side_layer::SideLayerExit;
use crate::error::{Error, Result};

/// Classifier of an exit after a layer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ExitKind {
    /// A linear classifier on pooled rows.
    #[default]
    Linear,
    /// A linear classifier added to a narrow transformer layer on the text's tokens: pool(h)·Wᵀ + b + mean(layer(h·Dᵀ +
    /// d))·Vᵀ + c. This is ladder side-tuning (Sung et al. 2022) with one layer for each exit. FastBERT's exits also
    /// have self-attention. A layer of 64 columns costs about a thirtieth of a layer of 384 columns. The pooling must
    /// not be a pooler.
    SideLayer {
        /// Number of columns of the layer: 1 to 32, or a multiple of 32 up to 4,096.
        width: usize,
    },
    /// Custom exits, which the calling program builds: see [`ExitModel::with_exits`](crate::ExitModel::with_exits).
    Own,
}

impl ExitKind {
    /// Checks the range of the width and that this kind of exit can use the pooling.
    ///
    /// # Errors
    /// [`Error::Argument`] for a width out of range, and for a pooler before a side exit.
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

    /// Adds a new exit to an encoder.
    ///
    /// # Errors
    /// [`Error::Argument`] for fewer than two classes, and for [`Own`](Self::Own); errors of the encoder.
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
                return Err(Error::argument("exit_kind", "one of this crate, or exits built by a function", "own"));
            }
        })
    }
}
