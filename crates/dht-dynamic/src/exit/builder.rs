//! Builds custom exits, which the calling program implements.

use std::fmt::{self, Debug, Formatter};
use std::sync::Arc;

use dht_transformer::Encoder;

use super::exit::LayerExit;
use crate::error::{Error, Result};

/// Place of an early exit in a model: its depth, its number of outputs, and the name of its parameters.
///
/// # Examples
/// ```
/// use dht_dynamic::exit::ExitPlace;
///
/// let place = ExitPlace::new("exit.4.classifier", 4, 3);
/// assert_eq!((place.name, place.depth, place.classes), ("exit.4.classifier", 4, 3));
/// ```
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct ExitPlace<'a> {
    /// Prefix of the names of the exit's parameters, without the dot. Parameters with this prefix are saved with the
    /// model.
    pub name: &'a str,
    /// Depth: number of layers before the exit.
    pub depth: usize,
    /// Number of classes or labels, which is the number of logits.
    pub classes: usize,
}

impl<'a> ExitPlace<'a> {
    /// Creates the place of an exit after `depth` layers.
    pub fn new(name: &'a str, depth: usize, classes: usize) -> Self {
        Self { name, depth, classes }
    }
}

type Build = dyn Fn(&mut Encoder, ExitPlace<'_>) -> Result<Box<dyn LayerExit>> + Send + Sync;

/// Function of the calling program that builds custom exits. For each exit, it adds parameters to the encoder and
/// returns the exit.
///
/// The function is called when a model is created, loaded or deep-copied, and must add the same parameters each time.
/// Clones of the builder share the function.
#[derive(Clone)]
pub(crate) struct ExitBuilder(Arc<Build>);

impl ExitBuilder {
    pub(crate) fn new(
        build: impl Fn(&mut Encoder, ExitPlace<'_>) -> Result<Box<dyn LayerExit>> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(build))
    }

    /// Builds the custom exit for one place in the model.
    ///
    /// # Errors
    /// * [`Error::Argument`] if the name of an added parameter does not begin with [`ExitPlace::name`]: it would not be
    ///   saved.
    /// * Any error that the custom function returns.
    pub(crate) fn build(&self, encoder: &mut Encoder, place: ExitPlace<'_>) -> Result<Box<dyn LayerExit>> {
        let before = encoder.parameters().len();
        let exit = (self.0)(encoder, place)?;
        let below = |name: &str| name.strip_prefix(place.name).is_some_and(|rest| rest.starts_with('.'));
        match encoder.parameters().iter().skip(before).find(|(_, name, _)| !below(name)) {
            Some((_, name, _)) => {
                Err(Error::argument("exit's parameter", format!("a name that begins with {}.", place.name), name))
            }
            None => Ok(exit),
        }
    }
}

impl Debug for ExitBuilder {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("ExitBuilder")
    }
}
