//! What a user holds: a dynamic transformer that is fitted, evaluated, asked, saved and loaded.

mod held_out;
mod ledger;
mod losses;
mod teaching;
mod training;
mod whole_steps;

use std::collections::BTreeMap;

use dht_transformer::{EncodedDataset, Encoder, HeadSet, PackedBatch, Sample, TextClassifier};
use rand::Rng;

use crate::executor::{Executor, FlopsOfBatch, Shown};
use crate::exit_heads::ExitHeads;
use crate::queues::Queues;
use crate::strategy::TreeBandits;
use crate::{
    BaseState, Dispatch, Error, FlopsCost, Result, RewardShape, Route, SearchSettings, SearchSpace, WidthCoupling,
};

pub use ledger::Ledger;

/// An encoder with exits, whose routes bandits choose for each text (paper, 4.2.1: the tree search).
///
/// It is an [`Objective`](dht_transformer::Objective): a [`Trainer`](dht_transformer::Trainer) fits it, encoder and bandits together. Samples keep
/// their order and dropout from the training's seed, routes come from streams of the same seed.
///
/// A step costs what the routes of its samples cost, forward and backward, and with queues the base layers once more.
#[derive(Debug)]
pub struct DynamicModel {
    pub(crate) encoder: Encoder,
    pub(crate) heads: ExitHeads,
    pub(crate) space: SearchSpace,
    pub(crate) bandits: TreeBandits,
    /// The batch that came last, in flight.
    arrived: Option<PackedBatch>,
    /// The batch that came last, to run whole.
    arrived_whole: Option<PackedBatch>,
    queues: Option<Queues>,
    /// Samples that wait in queues, by row.
    waiting: BTreeMap<usize, Sample>,
    ledger: Ledger,
    watcher: Watcher,
    teacher: Option<TextClassifier>,
}

/// Is told the depth of each sample that is trained on.
#[derive(Default)]
struct Watcher(Option<Box<dyn FnMut(usize) + Send + Sync>>);

impl std::fmt::Debug for Watcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_some() { "Watcher" } else { "no watcher" })
    }
}

impl DynamicModel {
    /// A dynamic model of an encoder.
    ///
    /// # Errors
    /// [`Error::Setting`] for settings out of range, a space of another size than the encoder, an integrated search or
    /// a base state that this model does not run yet, fewer than two classes.
    pub fn new<R: Rng + ?Sized>(
        mut encoder: Encoder,
        space: SearchSpace,
        settings: SearchSettings,
        classes: usize,
        rng: &mut R,
    ) -> Result<Self> {
        settings.check()?;
        let stack = space.stack();
        let shape = encoder.block_shape();
        if (encoder.layers(), shape.heads) != (stack.layers, stack.heads) {
            let expected = format!("a space of {} layers and {} heads", encoder.layers(), shape.heads);
            return Err(Error::setting("space", expected, format!("{} and {}", stack.layers, stack.heads)));
        }
        if !space.is_tree() || space.config().base_state != BaseState::OnRoute || space.tail().is_some() {
            return Err(Error::setting("space", "a tree search whose base layers lie on the route", "another one"));
        }
        let heads = ExitHeads::new(&mut encoder, classes, &space, &settings, rng)?;
        let cost = FlopsCost::new(stack.layers, shape, heads.shape(), WidthCoupling::Heads)?;
        let bandits = TreeBandits::new(&space, &settings, cost)?;
        let queues = match settings.dispatch {
            Dispatch::InFlight => None,
            Dispatch::Queue { size } => Some(Queues::new(size, space.exits().len())),
        };
        let ledger = Ledger::new(stack.heads)?;
        let waiting = BTreeMap::new();
        Ok(Self {
            encoder,
            heads,
            space,
            bandits,
            arrived: None,
            arrived_whole: None,
            queues,
            waiting,
            ledger,
            watcher: Watcher::default(),
            teacher: None,
        })
    }

    /// The encoder.
    pub fn encoder(&self) -> &Encoder {
        &self.encoder
    }

    /// The space of routes.
    pub fn space(&self) -> &SearchSpace {
        &self.space
    }

    /// The settings.
    pub fn settings(&self) -> &SearchSettings {
        self.bandits.settings()
    }

    /// What the training cost and chose.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// How many optimiser steps lay between routing and training on average; `None` without queues.
    pub fn mean_wait(&self) -> Option<f64> {
        self.queues.as_ref().map(Queues::mean_wait)
    }

    /// Tells `watcher` the depth (layers run) of each sample that is trained on from now on, for a progress bar.
    pub fn watch_routes(&mut self, watcher: impl FnMut(usize) + Send + Sync + 'static) {
        self.watcher = Watcher(Some(Box::new(watcher)));
    }

    /// The run-time knob's setting; `None` with rewards in which the cost is learned.
    pub fn lambda(&self) -> Option<f64> {
        match self.settings().reward_shape {
            RewardShape::Utility { lambda } | RewardShape::Gain { lambda } => Some(lambda),
            RewardShape::Ratio | RewardShape::Log | RewardShape::Clipped { .. } => None,
        }
    }

    /// The run-time knob: λ, what the cost of a whole model is worth in nats of loss. An arm scores what its bandit
    /// expects less λ·(FLOPs of the arm / FLOPs of the full model), so that no learned number changes. Ours.
    ///
    /// # Errors
    /// [`Error::Setting`] for a λ that is not finite or below 0, and with rewards in which the cost was learned.
    pub fn set_lambda(&mut self, lambda: f64) -> Result<()> {
        self.bandits.set_lambda(lambda)
    }

    /// The parts that run.
    pub(crate) fn executor(&self) -> Executor<'_> {
        Executor { encoder: &self.encoder, heads: &self.heads, space: &self.space }
    }

    /// The formulas of what runs.
    pub(crate) fn flops(&self) -> FlopsOfBatch {
        FlopsOfBatch { block: self.encoder.block_shape(), classifier: self.heads.shape() }
    }
    /// The heads that are always kept: those of the largest magnitude over the dynamic groups' layers.
    pub(crate) fn heaviest_heads(&self) -> Result<HeadSet> {
        let heads = self.space.stack().heads;
        let mut importance = vec![0.0; heads];
        for layer in self.space.base_layers()..self.space.stack().layers {
            let magnitudes = self.encoder.head_magnitudes(layer)?;
            importance.iter_mut().zip(magnitudes).for_each(|(sum, magnitude)| *sum += magnitude);
        }
        let mut order: Vec<usize> = (0..heads).collect();
        order.sort_by(|a, b| importance[*b].total_cmp(&importance[*a]).then(a.cmp(b)));
        Ok(HeadSet::from_indices(order.into_iter().take(self.space.pinned().max(1)), heads)?)
    }

    /// FLOPs of one training epoch of the full model on these texts with this model's classifier: what ratios are of.
    ///
    /// # Errors
    /// None that a model of this space can meet.
    pub fn full_training_flops(&self, texts: &EncodedDataset) -> Result<u64> {
        let (flops, route) = (self.flops(), Route::truncated(self.space.stack(), self.space.stack().layers)?);
        let of_text =
            |tokens| (flops.forward(&route, tokens, 1) + flops.backward(&route, tokens, Shown::Own.reads(0))).0;
        Ok(texts.lengths().into_iter().map(of_text).sum())
    }

    /// FLOPs of predicting these texts with the full model and one classifier: what inference ratios are of.
    ///
    /// # Errors
    /// None that a model of this space can meet.
    pub fn full_inference_flops(&self, texts: &EncodedDataset) -> Result<u64> {
        let (flops, route) = (self.flops(), Route::truncated(self.space.stack(), self.space.stack().layers)?);
        Ok(texts.lengths().into_iter().map(|tokens| flops.forward(&route, tokens, 1).0).sum())
    }
}
