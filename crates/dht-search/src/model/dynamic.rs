//! What a user holds: a dynamic transformer that is fitted, evaluated, asked, saved and loaded.

use std::collections::BTreeMap;

use dht_transformer::{
    EncodedDataset, Encoder, HeadSet, PackedBatch, Sample, TextClassifier,
    pruning::{Importance, PrunePlan},
};
use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::executor::Executor;
use super::exits::ExitClassifiers;
use crate::cost::{ExecutedFlops, Reads, WidthCoupling};
use crate::error::{Error, Result};
use crate::reward::RewardShape;
use crate::routing::SearchBandits;
use crate::settings::{Dispatch, SearchSettings};
use crate::space::{Route, SearchSpace};
use crate::training::{CostAccounting, NextPhase, PendingHeadFeedback, Queues};

/// An encoder with exits, whose routes bandits choose for each text: by a tree, an integrated or a sequential search.
///
/// It is an [`Objective`](dht_transformer::Objective): a [`Trainer`](dht_transformer::Trainer) fits it, encoder and bandits together. Samples keep
/// their order and dropout from the training's seed, routes come from streams of the same seed.
///
/// A step costs what the routes of its samples cost, forward and backward, and with queues the base layers once more.
#[derive(Debug)]
pub struct DynamicModel {
    pub(crate) encoder: Encoder,
    pub(crate) heads: ExitClassifiers,
    pub(crate) space: SearchSpace,
    pub(crate) bandits: SearchBandits,
    pub(crate) next_phase: Option<NextPhase>,
    /// The step whose heads are to be judged by what its backward shows.
    pub(crate) pending_feedback: Option<PendingHeadFeedback>,
    /// The batch that came last, in flight.
    pub(crate) pending: Option<PackedBatch>,
    /// The batch that came last, to run whole.
    pub(crate) pending_full_model: Option<PackedBatch>,
    pub(crate) queues: Option<Queues>,
    /// Samples that wait in queues, by row.
    pub(crate) queued: BTreeMap<usize, Sample>,
    /// The last step whose routes were drawn, and its generator, which the next batch of that step goes on with.
    pub(crate) routing: Option<(u64, ChaCha8Rng)>,
    pub(crate) accounting: CostAccounting,
    pub(crate) observer: RouteObserver,
    pub(crate) teacher: Option<TextClassifier>,
}

/// Is told the depth of each sample that is trained on.
#[derive(Default)]
pub(crate) struct RouteObserver(pub(crate) Option<Box<dyn FnMut(usize) + Send + Sync>>);

impl std::fmt::Debug for RouteObserver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_some() { "RouteObserver" } else { "no watcher" })
    }
}

impl DynamicModel {
    /// A dynamic model of an encoder. With [`SearchSettings::width_coupling`] the neurons of its layers are sorted by
    /// magnitude first, which changes nothing that the encoder computes. The layers of a tail are frozen.
    ///
    /// # Errors
    /// [`Error::Setting`] for settings out of range or without sense in the space, a space of another size than the
    /// encoder, fewer than two classes.
    pub fn new<R: Rng + ?Sized>(
        mut encoder: Encoder,
        space: SearchSpace,
        settings: SearchSettings,
        classes: usize,
        rng: &mut R,
    ) -> Result<Self> {
        check_size(&encoder, &space)?;
        if settings.width_coupling == WidthCoupling::HeadsAndFfn {
            let importance = Importance::by_magnitude(&encoder)?;
            let neurons = encoder.block_shape().ffn;
            encoder = encoder.prune(&PrunePlan::most_important(
                &encoder,
                &importance,
                space.model_shape().heads,
                neurons,
            )?)?;
        }
        Self::of_encoder(encoder, space, settings, classes, rng)
    }

    /// The same of an encoder whose neurons lie as they should.
    pub(crate) fn of_encoder<R: Rng + ?Sized>(
        mut encoder: Encoder,
        space: SearchSpace,
        settings: SearchSettings,
        classes: usize,
        rng: &mut R,
    ) -> Result<Self> {
        check_size(&encoder, &space)?;
        settings.check_with(&space)?;
        let heads = ExitClassifiers::new(&mut encoder, classes, &space, &settings, rng)?;
        let bandits = SearchBandits::new(&space, &settings, encoder.block_shape(), heads.shape())?;
        let queues = match settings.dispatch {
            Dispatch::InFlight => None,
            Dispatch::Queue { size } => Some(Queues::new(size, space.exits().len())),
        };
        freeze_tail(&encoder, &space, true);
        Ok(Self {
            accounting: CostAccounting::new(space.model_shape().heads)?,
            encoder,
            heads,
            space,
            bandits,
            next_phase: None,
            pending_feedback: None,
            pending: None,
            pending_full_model: None,
            queues,
            queued: BTreeMap::new(),
            routing: None,
            observer: RouteObserver::default(),
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
    pub fn accounting(&self) -> &CostAccounting {
        &self.accounting
    }

    /// How many optimiser steps lay between routing and training on average; `None` without queues.
    pub fn mean_wait(&self) -> Option<f64> {
        self.queues.as_ref().map(Queues::mean_wait)
    }

    /// Tells `watcher` the depth (layers run) of each sample that is trained on from now on, for a progress bar.
    pub fn on_route(&mut self, observer: impl FnMut(usize) + Send + Sync + 'static) {
        self.observer = RouteObserver(Some(Box::new(observer)));
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

    /// The same model at another speed: a handle on the same weights (training one trains the other) with a copy of what
    /// the bandits know and λ set as by [`set_lambda`](Self::set_lambda). This model stays as it is. It is
    /// for use, not for training: samples in queues, a later space and a teacher do not come along.
    ///
    /// # Errors
    /// As [`set_lambda`](Self::set_lambda).
    pub fn with_speed(&self, lambda: f64) -> Result<Self> {
        let mut bandits = self.bandits.clone();
        bandits.set_lambda(lambda)?;
        Ok(Self {
            encoder: self.encoder.clone(),
            heads: self.heads.clone(),
            space: self.space.clone(),
            bandits,
            next_phase: None,
            pending_feedback: None,
            pending: None,
            pending_full_model: None,
            queues: self.queues.as_ref().map(Queues::emptied),
            queued: BTreeMap::new(),
            routing: None,
            accounting: self.accounting.clone(),
            observer: RouteObserver::default(),
            teacher: None,
        })
    }

    /// Refuses texts that this model cannot be trained or scored on.
    pub(crate) fn check_texts(&self, texts: &EncodedDataset) -> Result<()> {
        if let Some(sample) = texts.samples.iter().find(|sample| !sample.targets.is_empty()) {
            let expected = "none: a search takes texts of one class each, not of several labels or of a number";
            let got = format!("{} in row {}", sample.targets.len(), sample.id);
            return Err(Error::setting("targets", expected, got));
        }
        let classes = self.heads.shape().classes;
        texts.check_classes(classes)?;
        if texts.labels.len() != classes {
            return Err(Error::setting("labels", format!("the model's {classes} classes"), texts.labels.len()));
        }
        Ok(())
    }

    /// The parts that run.
    pub(crate) fn executor(&self) -> Executor<'_> {
        let coupling = self.settings().width_coupling;
        Executor { encoder: &self.encoder, heads: &self.heads, space: &self.space, coupling }
    }

    /// The formulas of what runs.
    pub(crate) fn flops(&self) -> ExecutedFlops {
        ExecutedFlops {
            block: self.encoder.block_shape(),
            classifier: self.heads.shape(),
            coupling: self.settings().width_coupling,
        }
    }
    /// The heads that are always kept: those of the largest magnitude over the dynamic groups' layers.
    pub(crate) fn heads_of_largest_norm(&self) -> Result<HeadSet> {
        let heads = self.space.model_shape().heads;
        let mut importance = vec![0.0; heads];
        for layer in self.space.groups().iter().flat_map(|group| group.layers()) {
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
        let (flops, route) =
            (self.flops(), Route::truncated(self.space.model_shape(), self.space.model_shape().layers)?);
        let of_text = |tokens| (flops.forward(&route, tokens, 1) + flops.backward(&route, tokens, Reads::ONCE)).0;
        Ok(texts.lengths().into_iter().map(of_text).sum())
    }

    /// FLOPs of predicting these texts with the full model and one classifier: what inference ratios are of.
    ///
    /// # Errors
    /// None that a model of this space can meet.
    pub fn full_inference_flops(&self, texts: &EncodedDataset) -> Result<u64> {
        let (flops, route) =
            (self.flops(), Route::truncated(self.space.model_shape(), self.space.model_shape().layers)?);
        Ok(texts.lengths().into_iter().map(|tokens| flops.forward(&route, tokens, 1).0).sum())
    }
}

fn check_size(encoder: &Encoder, space: &SearchSpace) -> Result<()> {
    let (shape, heads) = (space.model_shape(), encoder.block_shape().heads);
    if (encoder.layers(), heads) == (shape.layers, shape.heads) {
        return Ok(());
    }
    let expected = format!("a space of {} layers and {heads} heads", encoder.layers());
    Err(Error::setting("space", expected, format!("{} and {}", shape.layers, shape.heads)))
}

/// Freezes or thaws the layers that every route of a space ends in.
pub(crate) fn freeze_tail(encoder: &Encoder, space: &SearchSpace, frozen: bool) {
    if let Some(tail) = space.tail() {
        tail.layers().for_each(|layer| encoder.freeze_layer(layer, frozen));
    }
}
