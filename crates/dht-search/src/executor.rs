//! Algorithm 2, for training and inference alike: base layers → route → groups → exits.

use std::time::{Duration, Instant};

use candle_core::Tensor;
use dht_transformer::{
    BackwardNeeds, BlockShape, Breakdown, ClassifierShape, Encoder, FlopCount, HeadPlan, Hidden, Load, PackedBatch, Pass,
};
use rand_chacha::ChaCha8Rng;

use crate::exit_heads::ExitHeads;
use crate::strategy::{BaseView, DepthChoices, GroupChoices, GroupView, Mode, Strategy};
use crate::{Result, Route, RouteArms, SearchSpace};

/// The parts of a dynamic model that run.
pub(crate) struct Executor<'a> {
    pub(crate) encoder: &'a Encoder,
    pub(crate) heads: &'a ExitHeads,
    pub(crate) space: &'a SearchSpace,
}

/// Logits of some samples at an exit.
#[derive(Debug)]
pub(crate) struct ExitOutput {
    pub(crate) exit: usize,
    /// Places in the batch.
    pub(crate) samples: Vec<usize>,
    /// (samples, classes).
    pub(crate) logits: Tensor,
}

/// A group of layers that some samples ran.
#[derive(Debug)]
pub(crate) struct GroupPassage {
    pub(crate) group: usize,
    /// Places in the batch, by place in the group.
    pub(crate) members: Vec<usize>,
    pub(crate) choices: GroupChoices,
}

/// What a batch went through.
#[derive(Debug)]
pub(crate) struct Passage {
    pub(crate) depth: DepthChoices,
    pub(crate) groups: Vec<GroupPassage>,
    /// By exit; each sample at the exit it left by, and with `every_exit` at those it passed.
    pub(crate) outputs: Vec<ExitOutput>,
    /// What deciding took: pooling and bandits.
    pub(crate) deciding: Duration,
}

impl Executor<'_> {
    /// The base layers: embeddings and the layers before the first exit, all heads.
    pub(crate) fn base(&self, batch: &PackedBatch, pass: &Pass) -> Result<Hidden> {
        let embedded = self.encoder.embed(batch, pass)?;
        Ok(self.encoder.run(0..self.space.base_layers(), embedded, &HeadPlan::Full, pass)?)
    }

    /// Decides where each sample leaves, from the state behind the base layers.
    pub(crate) fn decide(
        &self,
        base: &Hidden,
        logits: Option<&Tensor>,
        strategy: &dyn Strategy,
        mode: Mode,
        rng: &mut ChaCha8Rng,
    ) -> Result<DepthChoices> {
        strategy.exits(&BaseView { hidden: base, logits }, mode, rng)
    }

    /// The whole way of a batch. With `every_exit` the samples that go on show their logits at each exit, too.
    pub(crate) fn run(
        &self,
        batch: &PackedBatch,
        pass: &Pass,
        strategy: &dyn Strategy,
        mode: Mode,
        every_exit: bool,
        rng: &mut ChaCha8Rng,
    ) -> Result<Passage> {
        let base = self.base(batch, pass)?;
        let base_logits = match every_exit || strategy.wants_signals() {
            true => Some(self.heads.logits(0, &base, pass)?),
            false => None,
        };
        let start = Instant::now();
        let depth = self.decide(&base, base_logits.as_ref(), strategy, mode, rng)?;
        let deciding = start.elapsed();
        self.follow(base, base_logits, depth, deciding, pass, strategy, mode, every_exit, rng)
    }

    /// From the base layers on, with the exits decided.
    #[expect(clippy::too_many_arguments, reason = "the state behind the base layers and how to go on from it")]
    pub(crate) fn follow(
        &self,
        base: Hidden,
        base_logits: Option<Tensor>,
        depth: DepthChoices,
        mut deciding: Duration,
        pass: &Pass,
        strategy: &dyn Strategy,
        mode: Mode,
        every_exit: bool,
        rng: &mut ChaCha8Rng,
    ) -> Result<Passage> {
        let mut members: Vec<usize> = (0..base.samples()).collect();
        let mut hidden = base;
        let (mut groups, mut outputs) = (Vec::new(), Vec::new());
        for exit in 0..self.space.exits().len() {
            // The samples that leave here show their logits; the others go on.
            let stays = |at: &usize| depth.exits[members[*at]] > exit;
            let (going, leaving): (Vec<usize>, Vec<usize>) = (0..members.len()).partition(stays);
            let logits = match (&base_logits, exit) {
                (Some(logits), 0) => Some(logits.clone()),
                _ if every_exit => Some(self.heads.logits(exit, &hidden, pass)?),
                _ => None,
            };
            match logits {
                Some(logits) if every_exit => outputs.push(ExitOutput { exit, samples: members.clone(), logits }),
                _ if leaving.is_empty() => {}
                Some(logits) => {
                    let samples: Vec<usize> = leaving.iter().map(|at| members[*at]).collect();
                    outputs.push(ExitOutput { exit, logits: select_rows(&logits, &leaving)?, samples });
                }
                None => {
                    let samples: Vec<usize> = leaving.iter().map(|at| members[*at]).collect();
                    let logits = self.heads.logits(exit, &hidden.select(&leaving)?, pass)?;
                    outputs.push(ExitOutput { exit, samples, logits });
                }
            }
            if going.is_empty() {
                break;
            }
            hidden = hidden.select(&going)?;
            members = going.iter().map(|at| members[*at]).collect();

            let layers = self.space.groups()[exit];
            let start = Instant::now();
            let view = GroupView { group: exit, hidden: &hidden, members: &members, signals: &depth.signals };
            let choices = strategy.heads(&view, mode, rng)?;
            deciding += start.elapsed();
            let parts = choices
                .buckets
                .iter()
                .map(|bucket| {
                    let part = hidden.select(&bucket.places)?;
                    let plan = HeadPlan::Same(bucket.heads);
                    self.encoder.run(layers.layers(), part, &plan, pass)
                })
                .collect::<dht_transformer::Result<Vec<_>>>()?;
            hidden = Hidden::concat(&parts)?;
            let after: Vec<usize> =
                choices.buckets.iter().flat_map(|bucket| &bucket.places).map(|place| members[*place]).collect();
            groups.push(GroupPassage { group: exit, members, choices });
            members = after;
        }
        Ok(Passage { depth, groups, outputs, deciding })
    }
}

impl Passage {
    /// The route of each sample.
    pub(crate) fn routes(&self, space: &SearchSpace) -> Result<Vec<Route>> {
        let mut heads = vec![Vec::new(); self.depth.exits.len()];
        for passage in &self.groups {
            let options = space.head_options(passage.group);
            for (member, kept) in passage.members.iter().zip(&passage.choices.kept) {
                heads[*member].push(options.iter().position(|option| option == kept).unwrap_or(options.len()));
            }
        }
        self.depth
            .exits
            .iter()
            .zip(heads)
            .map(|(&exit, heads)| space.route(&RouteArms::Tree { depth: exit, heads }))
            .collect()
    }
}

/// FLOPs of a batch on its routes, two for each multiply-add, products alone: exactly what runs.
pub(crate) struct FlopsOfBatch {
    pub(crate) block: BlockShape,
    pub(crate) classifier: ClassifierShape,
}

impl FlopsOfBatch {
    /// Forward of one text on a route that showed its logits at `exits` exits.
    pub(crate) fn forward(&self, route: &Route, tokens: usize, exits: usize) -> FlopCount {
        self.sum(route, tokens, |load, heads| self.block.forward(load, self.block.keeping(heads)))
            + self.classifier.forward(exits as u64).total()
    }

    /// Backward of the same.
    pub(crate) fn backward(&self, route: &Route, tokens: usize, exits: usize) -> FlopCount {
        let all = BackwardNeeds::ALL;
        self.sum(route, tokens, |load, heads| self.block.backward(load, self.block.keeping(heads), all))
            + self.classifier.backward(exits as u64, all).total()
    }

    fn sum(&self, route: &Route, tokens: usize, cost: impl Fn(Load, usize) -> Breakdown) -> FlopCount {
        let load = Load::of_text(tokens);
        route.layers().map(|(_, heads)| cost(load, heads)).sum::<Breakdown>().total()
    }
}

/// These rows in this order.
pub(crate) fn select_rows(rows: &Tensor, places: &[usize]) -> Result<Tensor> {
    let indices: Vec<u32> = places.iter().map(|place| *place as u32).collect();
    Ok(rows.index_select(&Tensor::from_vec(indices, places.len(), rows.device())?, 0)?)
}
