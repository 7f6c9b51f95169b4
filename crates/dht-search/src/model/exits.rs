//! The exits of a model: classifiers at the depths where samples may leave.

use dht_dynamic::{
    LayerExit,
    exit::{ExitKind, ExitPlace},
};
use dht_transformer::{Encoder, flops::ClassifierShape};
use rand::Rng;

use crate::error::Result;
use crate::settings::{ClassifierSharing, SearchSettings};
use crate::space::SearchSpace;

/// Builds the exit at a depth with new parameters, whose names start with `name` and a dot. If `last`, the exit has the
/// kind and pooling of the last exit, otherwise those of the exits before it.
fn build<R: Rng + ?Sized>(
    encoder: &mut Encoder,
    (name, depth): (&str, usize),
    classes: usize,
    (settings, last): (&SearchSettings, bool),
    rng: &mut R,
) -> Result<Box<dyn LayerExit>> {
    let (kind, pooling) = match settings.last_exit_pooling.filter(|_| last) {
        Some(pooling) => (ExitKind::Linear, pooling),
        None => (settings.exit_kind, settings.pooling),
    };
    Ok(kind.build(encoder, ExitPlace::new(name, depth, classes), pooling, rng)?)
}

/// The exits of a model: one for each depth of its space, or a shared one.
#[derive(Debug, Clone)]
pub(crate) struct Exits {
    /// The exits, each with the total depth of the routes that leave at it. There is one entry if all routes share one
    /// exit.
    exits: Vec<(usize, Box<dyn LayerExit>)>,
    classes: usize,
    shape: ClassifierShape,
}

impl Exits {
    pub(crate) fn new<R: Rng + ?Sized>(
        encoder: &mut Encoder,
        classes: usize,
        space: &SearchSpace,
        settings: &SearchSettings,
        rng: &mut R,
    ) -> Result<Self> {
        let names = Self::names(space, settings);
        let exits = names.iter().enumerate().map(|(exit, name)| {
            let of_kind = (settings, exit + 1 == names.len());
            let depth = space.depth(exit);
            Ok((depth, build(encoder, (name, depth), classes, of_kind, rng)?))
        });
        let exits = exits.collect::<Result<_>>()?;
        let pooler = settings.pooling == dht_transformer::Pooling::Pooler;
        let shape = ClassifierShape { hidden: encoder.block_shape().hidden, pooler, classes };
        Ok(Self { exits, classes, shape })
    }

    /// The exits of the next phase's space: existing exits for depths that both spaces have, and new exits for the
    /// other depths.
    pub(crate) fn for_next_phase<R: Rng + ?Sized>(
        &self,
        encoder: &mut Encoder,
        space: &SearchSpace,
        settings: &SearchSettings,
        rng: &mut R,
    ) -> Result<Self> {
        let names = Self::names(space, settings);
        let mut exits = Vec::with_capacity(names.len());
        for (exit_index, name) in names.iter().enumerate() {
            let depth = space.depth(exit_index);
            let shared = settings.classifier_sharing == ClassifierSharing::Shared;
            let own = self.exits.iter().find(|(own, _)| shared || *own == depth);
            let exit = match own {
                Some((_, own)) => own.clone(),
                None => build(encoder, (name, depth), self.classes, (settings, exit_index + 1 == names.len()), rng)?,
            };
            exits.push((depth, exit));
        }
        Ok(Self { exits, ..self.clone() })
    }

    /// The prefix of the parameter names of each exit, without the dot.
    pub(crate) fn names(space: &SearchSpace, settings: &SearchSettings) -> Vec<String> {
        match settings.classifier_sharing {
            ClassifierSharing::Shared => vec!["classifier".into()],
            ClassifierSharing::PerExit => {
                (0..space.exits().len()).map(|exit| format!("exit.{}.classifier", space.depth(exit))).collect()
            }
        }
    }

    /// The exit with this index in the search space.
    pub(crate) fn at(&self, exit: usize) -> &dyn LayerExit {
        &*self.exits.get(exit).unwrap_or(&self.exits[0]).1
    }

    /// The number of classes.
    pub(crate) fn classes(&self) -> usize {
        self.classes
    }

    /// The sizes of a linear exit. The estimated costs of routes, by which the bandits' arms are ranked, use these
    /// sizes for every kind of exit. All exits of a model cost the same, except a separate [last
    /// exit](SearchSettings::last_exit_pooling), so that another kind changes only the scale of these costs. Counts and
    /// ratios of FLOPs use the actual exits.
    pub(crate) fn shape(&self) -> ClassifierShape {
        self.shape
    }
}
