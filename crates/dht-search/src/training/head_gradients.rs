//! Heads judged by the backward: |∂L/∂ξ| of a gate ξ on each head (Michel et al. 2019).

use std::collections::BTreeMap;

use dht_transformer::{PackedBatch, Pass};

use crate::error::Result;
use crate::model::{DynamicModel, GroupPassage, Passage};
use crate::reward::HeadFeedback;
use crate::routing::Losses;

/// The least slope of a loss along the label's log-odds, so that a text known for certain does not divide by 0.
const SMALLEST_SLOPE: f64 = 1e-6;

/// A step whose backward has not run yet when its loss is handed over.
#[derive(Debug)]
pub(crate) struct Watched {
    pass: Pass,
    /// The samples of the batch, by number.
    samples: Vec<u64>,
    groups: Vec<GroupPassage>,
    /// By sample: what turns the slope of the step's loss into one of the sample's log-odds.
    scales: Vec<f64>,
}

impl DynamicModel {
    /// A pass whose backward keeps the slopes, where the heads are judged by them.
    pub(crate) fn watching(&self, pass: Pass) -> Pass {
        if self.settings().head_feedback == HeadFeedback::Slope { pass.watching_heads() } else { pass }
    }

    /// Remembers a step until its backward has run.
    pub(crate) fn watch(&mut self, batch: &PackedBatch, passage: Passage, losses: &Losses, pass: &Pass) {
        if self.settings().head_feedback == HeadFeedback::Slope && self.bandits.learns() {
            let samples = batch.sample_ids.clone();
            let own = |(sample, exit): (usize, &usize)| losses.by_exit[*exit][sample];
            let scale = |loss: f64| batch.len() as f64 / (1.0 - (-loss).exp()).max(SMALLEST_SLOPE);
            let scales = passage.depth.exits.iter().enumerate().map(own).map(scale).collect();
            self.watched = Some(Watched { pass: pass.clone(), samples, groups: passage.groups, scales });
        }
    }

    /// Judges the heads of the last step, now that its backward has run.
    pub(crate) fn learn_from_slopes(&mut self) -> Result<()> {
        let Some(Watched { pass, samples, groups, scales }) = self.watched.take() else { return Ok(()) };
        let mut by_head: BTreeMap<(usize, u64, usize), f64> = BTreeMap::new();
        for slope in pass.head_slopes() {
            by_head.insert((slope.layer, slope.sample, slope.head), f64::from(slope.slope).abs());
        }
        for passage in &groups {
            let layers = self.space.groups()[passage.group];
            let slope = |place: usize, head: usize| -> f64 {
                let of = |layer| by_head.get(&(layer, samples[passage.members[place]], head)).copied();
                scales[passage.members[place]] * layers.layers().filter_map(of).sum::<f64>()
            };
            self.bandits.learn_heads(passage.group, &passage.choices.buckets, &slope)?;
        }
        Ok(())
    }
}
