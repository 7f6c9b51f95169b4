//! Builders of a program's own exits.

use std::fmt::{self, Debug, Formatter};
use std::sync::Arc;

use dht_transformer::Encoder;

use super::exit::LayerExit;
use crate::error::{Error, Result};

/// The place of an exit in a model.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct ExitPlace<'a> {
    /// The prefix of the names of the exit's parameters, without the dot. Parameters below it are saved with the model.
    pub name: &'a str,
    /// The number of layers before the exit.
    pub depth: usize,
    /// The number of classes.
    pub classes: usize,
}

type Build = dyn Fn(&mut Encoder, ExitPlace<'_>) -> Result<Box<dyn LayerExit>> + Send + Sync;

/// Builds the exits of a model, whatever they compute: it adds their parameters to the encoder and returns the exits.
/// It is called when a model is made, loaded, or copied with weights of its own, and must add the same parameters each
/// time. A clone is the same builder.
#[derive(Clone)]
pub(crate) struct ExitBuilder(Arc<Build>);

impl ExitBuilder {
    /// Wraps a function.
    pub(crate) fn new(
        build: impl Fn(&mut Encoder, ExitPlace<'_>) -> Result<Box<dyn LayerExit>> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(build))
    }

    /// Builds the exit at a place.
    ///
    /// # Errors
    /// Errors of the function; [`Error::Argument`] for a parameter whose name does not begin with the name of the place,
    /// since it would not be saved.
    pub(crate) fn build(&self, encoder: &mut Encoder, place: ExitPlace<'_>) -> Result<Box<dyn LayerExit>> {
        let before = encoder.parameters().len();
        let exit = (self.0)(encoder, place)?;
        let below = |name: &str| name.strip_prefix(place.name).is_some_and(|rest| rest.starts_with('.'));
        match encoder.parameters().iter().skip(before).find(|(_, name, _)| !below(name)) {
            Some((_, name, _)) => {
                Err(Error::argument("exit's parameter", format!("a name below {}", place.name), name))
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
