//! Algorithm 2, for training and inference alike: base layers → route → groups → exits.

use std::time::{Duration, Instant};

use candle_core::Tensor;
use dht_transformer::{
    BackwardNeeds, BlockShape, Breakdown, ClassifierShape, Encoder, FlopCount, HeadPlan, Hidden, Load, PackedBatch,
    Pass,
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

/// Which exits' logits are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shown {
    /// The exit by which a sample leaves.
    Own,
    /// Also those it passes, with a way back to the layers below.
    Passed,
    /// Also those it passes, without: their classifiers learn to read what the layers learn from others. At the base exit
    /// every sample is read so, since its route is not known yet.
    Probed,
}

/// Logits of some samples at an exit.
#[derive(Debug)]
pub(crate) struct ExitOutput {
    pub(crate) exit: usize,
    /// Places in the batch.
    pub(crate) samples: Vec<usize>,
    /// (samples, classes).
    pub(crate) logits: Tensor,
    /// Whether only the classifier learns from them.
    pub(crate) probe: bool,
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
    /// By exit; each sample at the exit it left by, and at those it passed where they are [`Shown`].
    pub(crate) outputs: Vec<ExitOutput>,
    /// What deciding took: pooling and bandits.
    pub(crate) deciding: Duration,
}

impl Executor<'_> {
    /// The base layers: embeddings and the layers before the first exit, all heads.
    pub(crate) fn base(&self, batch: &PackedBatch, pass: &Pass) -> Result<Hidden> {
        let embedded = self.encoder.embed(batch, pass)?;
        Ok(self.encoder.run(0..self.space.base_layers(), &embedded, &HeadPlan::Full, pass)?)
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

    /// The whole way of a batch.
    pub(crate) fn run(
        &self,
        batch: &PackedBatch,
        pass: &Pass,
        strategy: &dyn Strategy,
        mode: Mode,
        shown: Shown,
        rng: &mut ChaCha8Rng,
    ) -> Result<Passage> {
        let base = self.base(batch, pass)?;
        let base_logits = self.base_logits(&base, pass, shown, strategy.wants_signals())?;
        let start = Instant::now();
        let depth = self.decide(&base, base_logits.as_ref(), strategy, mode, rng)?;
        let deciding = start.elapsed();
        self.follow(base, base_logits, depth, deciding, pass, strategy, mode, shown, rng)
    }

    /// The logits of all samples behind the base layers, where somebody looks at them.
    pub(crate) fn base_logits(&self, base: &Hidden, pass: &Pass, shown: Shown, wanted: bool) -> Result<Option<Tensor>> {
        match shown {
            Shown::Own if !wanted => Ok(None),
            Shown::Own | Shown::Passed => Ok(Some(self.heads.logits(0, base, pass)?)),
            Shown::Probed => Ok(Some(self.heads.logits(0, &base.detach(), pass)?)),
        }
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
        shown: Shown,
        rng: &mut ChaCha8Rng,
    ) -> Result<Passage> {
        let mut members: Vec<usize> = (0..base.samples()).collect();
        let mut hidden = base;
        let (mut groups, mut outputs) = (Vec::new(), Vec::new());
        for exit in 0..self.space.exits().len() {
            let stays = |at: &usize| depth.exits[members[*at]] > exit;
            let (going, leaving): (Vec<usize>, Vec<usize>) = (0..members.len()).partition(stays);
            let base = base_logits.as_ref().filter(|_| exit == 0);
            outputs.extend(self.outputs(exit, &hidden, &members, [&going, &leaving], base, pass, shown)?);
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
                    self.encoder.run(layers.layers(), &part, &plan, pass)
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

    /// What is shown at an exit, of those that go on and those that leave (places in `hidden`).
    #[expect(clippy::too_many_arguments, reason = "an exit, who is there, and what is known already")]
    fn outputs(
        &self,
        exit: usize,
        hidden: &Hidden,
        members: &[usize],
        [going, leaving]: [&[usize]; 2],
        base_logits: Option<&Tensor>,
        pass: &Pass,
        shown: Shown,
    ) -> Result<Vec<ExitOutput>> {
        let output = |places: &[usize], logits, probe| {
            let samples = places.iter().map(|place| members[*place]).collect();
            ExitOutput { exit, samples, logits, probe }
        };
        let mut outputs = Vec::new();
        match (shown, base_logits) {
            (Shown::Passed, logits) => {
                let logits =
                    logits.map_or_else(|| self.heads.logits(exit, hidden, pass), |logits| Ok(logits.clone()))?;
                return Ok(vec![ExitOutput { exit, samples: members.to_vec(), logits, probe: false }]);
            }
            (Shown::Own, Some(logits)) if !leaving.is_empty() => {
                return Ok(vec![output(leaving, select_rows(logits, leaving)?, false)]);
            }
            (Shown::Probed, Some(logits)) => {
                outputs.push(ExitOutput { exit, samples: members.to_vec(), logits: logits.clone(), probe: true });
            }
            (Shown::Probed, None) if !going.is_empty() => {
                let logits = self.heads.logits(exit, &hidden.select(going)?.detach(), pass)?;
                outputs.push(output(going, logits, true));
            }
            _ => {}
        }
        if !leaving.is_empty() {
            outputs.push(output(leaving, self.heads.logits(exit, &hidden.select(leaving)?, pass)?, false));
        }
        Ok(outputs)
    }
}

/// How often the classifiers read a sample.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reads {
    /// With a way back to the layers.
    pub(crate) with_way_back: u64,
    /// Without.
    pub(crate) probes: u64,
}

impl Shown {
    /// Of a sample that leaves by this exit.
    pub(crate) fn reads(self, exit: usize) -> Reads {
        let (with_way_back, probes) = match self {
            Self::Own => (1, 0),
            Self::Passed => (exit as u64 + 1, 0),
            Self::Probed => (1, exit.max(1) as u64),
        };
        Reads { with_way_back, probes }
    }
}

impl Reads {
    pub(crate) fn total(self) -> u64 {
        self.with_way_back + self.probes
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
    /// Forward of one text on a route, read by so many classifiers.
    pub(crate) fn forward(&self, route: &Route, tokens: usize, reads: u64) -> FlopCount {
        self.sum(route, tokens, |load, heads| self.block.forward(load, self.block.keeping(heads)))
            + self.classifier.forward(reads).total()
    }

    /// Backward of the same.
    pub(crate) fn backward(&self, route: &Route, tokens: usize, reads: Reads) -> FlopCount {
        let all = BackwardNeeds::ALL;
        self.sum(route, tokens, |load, heads| self.block.backward(load, self.block.keeping(heads), all))
            + self.classifier.backward(reads.with_way_back, all).total()
            + self.classifier.backward(reads.probes, BackwardNeeds::WEIGHTS_ONLY).total()
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
