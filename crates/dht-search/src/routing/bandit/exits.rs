//! Bandits that decide at which early exit the texts of a [`DynamicModel`] stop. Not in the DHT paper.

use std::sync::Arc;

use dht_dynamic::LogProbabilities;
use dht_dynamic::router::{Decisions, ExitRule, ExitView, Mode, Notes};
use dht_dynamic::{DynamicModel, ExitModel};
use dht_transformer::flops::{BlockShape, ClassifierShape};
use dht_transformer::{EncodedDataset, PackedBatch};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::depth::{DepthBandit, choose};
use super::front::FrontBandit;
use super::gain::GainBandit;
use super::linear::LinearBandit;
use super::setup::Setup;
use super::stored::{of_state, to_state};
use crate::error::{Error, Result};
use crate::features::{Rows, signals_of};
use crate::reward::RewardShape;
use crate::routing::losses::Losses;
use crate::settings::{ContextDesign, SearchSettings};
use crate::space::{SearchSpace, SpaceConfig};

const STATE: &str = "exit bandits";
/// Number of contexts (inputs) that the bandits observe before they learn. It is small because these contexts are
/// signals with fixed ranges, which need no scaling.
const WARM_UP: usize = 2;

/// Number of exit decisions for a text. The decision at an n-gram exit, which precedes all layers, is not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decided {
    /// One decision at the first exit after a layer, which selects among all exits.
    Once,
    /// Separate decision at every exit: stop or continue.
    AtEveryExit,
}

/// Linear bandits that decide at which early exit the texts of a [`DynamicModel`] stop.
///
/// From three signals of an exit e (entropy and margin of its probabilities, and length of the text), the bandits
/// predict the gain loss(e) − loss(e′) of each deeper exit e′. A text continues while some gain exceeds the price
/// λ·(cost(e′) − cost(e)) of that exit. λ is the router's speed. [`fit`](Self::fit) fits the bandits on labelled texts.
/// Predictions do not update them.
#[derive(Debug, Clone)]
pub struct ExitBandits {
    setup: Setup,
    learned: Learned,
}

/// Saved state of the exit bandits: size of the model, λ, and learned parameters.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Learned {
    space: SearchSpace,
    block: BlockShape,
    classifier: ClassifierShape,
    lambda: f64,
    /// Bandit at the n-gram exit, which precedes the first layer; `None` for a model without it.
    front: Option<FrontBandit>,
    behind: LayerExitBandits,
}

/// Bandits at the exits after layers: one bandit that decides once, or a bandit for each exit.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum LayerExitBandits {
    Once(Box<DepthBandit>),
    AtEveryExit(GainBandit),
}

impl LayerExitBandits {
    fn bandits(&self) -> &[LinearBandit] {
        match self {
            Self::Once(bandit) => std::slice::from_ref(&bandit.linear),
            Self::AtEveryExit(bandit) => &bandit.at,
        }
    }

    fn bandits_mut(&mut self) -> &mut [LinearBandit] {
        match self {
            Self::Once(bandit) => std::slice::from_mut(&mut bandit.linear),
            Self::AtEveryExit(bandit) => &mut bandit.at,
        }
    }
}

fn setup(learned: &Learned) -> Result<Setup> {
    let settings = SearchSettings {
        context: ContextDesign::Signals,
        reward_shape: RewardShape::Gain { lambda: learned.lambda },
        nested_feedback: true,
        forgetting_decay: 1.0,
        warm_up_contexts: WARM_UP,
        ..SearchSettings::default()
    };
    Setup::new(learned.space.clone(), settings, learned.block, learned.classifier)
}

impl ExitBandits {
    /// Creates untrained bandits for the exits of a model, with a price of computation of λ = 0.
    fn new(model: &ExitModel, with_front: bool, decided: Decided) -> Result<Self> {
        let (shape, block) = (model.shape(), model.encoder().block_shape());
        let config = SpaceConfig::of_full_heads(shape.layers, shape.heads, model.depths().to_vec());
        let classifier = ClassifierShape { hidden: block.hidden, pooler: false, classes: model.classes() };
        let space = SearchSpace::new(config)?;
        // Contexts do not depend on learned state, so that any bandit can be used to build the setup.
        let empty = |front, behind| Learned { space: space.clone(), block, classifier, lambda: 0.0, front, behind };
        let setup = setup(&empty(None, LayerExitBandits::AtEveryExit(GainBandit { at: Vec::new() })))?;
        let behind = match decided {
            Decided::Once => LayerExitBandits::Once(Box::new(DepthBandit::new(&setup)?)),
            Decided::AtEveryExit => LayerExitBandits::AtEveryExit(GainBandit::new(&setup)?),
        };
        let front = if with_front { Some(FrontBandit::new(&setup)?) } else { None };
        Ok(Self { learned: empty(front, behind), setup })
    }

    /// Fits exit bandits on labelled texts; the model itself does not change. Also returns the FLOPs of the forward
    /// passes and of the bandits' updates.
    ///
    /// Each text runs all layers, so that every arm learns. Use texts on which neither the model nor its exits were
    /// fitted.
    ///
    /// # Errors
    /// * [`Argument`](dht_dynamic::Error::Argument) if the texts have another number of classes than the model.
    /// * An error of the encoder.
    pub fn fit(
        model: &DynamicModel,
        decided: Decided,
        texts: &EncodedDataset,
        batch_size: usize,
    ) -> Result<(Self, u64)> {
        model.model().check_texts(texts)?;
        let mut bandits = Self::new(model.model(), model.front().is_some(), decided)?;
        let stages = model.stage_log_probabilities(texts, batch_size)?;
        let lengths = texts.lengths();
        for rows in PackedBatch::longest_first(&lengths, batch_size)? {
            let of_stage = |stage: &LogProbabilities| -> (Rows, Vec<f64>) {
                let logs = stage.select(&rows);
                let signals = logs.rows().zip(&rows).map(|(logs, row)| signals_of(logs, lengths[*row]));
                let losses = logs.rows().zip(&rows).map(|(logs, row)| -logs[texts.samples[*row].label as usize]);
                (signals.collect(), losses.collect())
            };
            let mut read: Vec<(Rows, Vec<f64>)> = stages.iter().map(of_stage).collect();
            let front = if model.front().is_some() { Some(read.remove(0)) } else { None };
            let (contexts, losses): (Vec<Rows>, Vec<Vec<f64>>) = read.into_iter().unzip();
            let losses = Losses::new(losses);
            // The first texts are used twice: for their scaling, and for learning.
            if !bandits.is_warm() {
                bandits.learn(front.as_ref(), &contexts, &losses)?;
            }
            if bandits.is_warm() {
                bandits.learn(front.as_ref(), &contexts, &losses)?;
            }
        }
        let Learned { front, behind, .. } = &mut bandits.learned;
        let learning = front.as_mut().map_or(0, FrontBandit::take_learning_flops)
            + behind.bandits_mut().iter_mut().map(LinearBandit::take_learning_flops).sum::<u64>();
        Ok((bandits, model.full_inference_flops(texts) + learning))
    }

    /// Restores bandits from a saved [state](dht_dynamic::Router::state), for [`DynamicModel::load_with`].
    ///
    /// # Errors
    /// [`Json`](dht_dynamic::Error::Json) or [`Argument`](dht_dynamic::Error::Argument) if the state was not saved by
    /// exit bandits.
    pub fn of_state(state: Value) -> Result<Self> {
        let learned: Learned = of_state(STATE, state)?;
        let setup = setup(&learned)?;
        let fresh = match &learned.behind {
            LayerExitBandits::Once(_) => LayerExitBandits::Once(Box::new(DepthBandit::new(&setup)?)),
            LayerExitBandits::AtEveryExit(_) => LayerExitBandits::AtEveryExit(GainBandit::new(&setup)?),
        };
        let (own, stored) = (fresh.bandits(), learned.behind.bandits());
        if own.len() != stored.len() {
            return Err(Error::state("exit bandits", format!("one for each of {} exits", own.len()), stored.len()));
        }
        let names = ["exit bandit's dimension", "exit bandit's arms", "exit norm's dimension"];
        own.iter().zip(stored).try_for_each(|(own, stored)| own.check_like(stored, names))?;
        if let Some(front) = &learned.front {
            FrontBandit::new(&setup)?.check_like(front)?;
        }
        Ok(Self { setup, learned })
    }

    fn is_warm(&self) -> bool {
        let front = self.learned.front.as_ref().is_none_or(|front| front.is_warm(&self.setup));
        front && self.learned.behind.bandits().iter().all(LinearBandit::is_frozen)
    }

    /// Updates the bandits from a batch of texts. `front` has the signals and the losses at the n-gram exit. `contexts`
    /// has the signals at each later exit, and `losses` the losses there.
    fn learn(&mut self, front: Option<&(Rows, Vec<f64>)>, contexts: &[Rows], losses: &Losses) -> Result<()> {
        let Self { setup, learned: Learned { front: bandit, behind, .. } } = self;
        if let (Some(bandit), Some((signals, before))) = (bandit, front) {
            bandit.learn(setup, (signals, before), losses)?;
        }
        if !behind.bandits().iter().all(LinearBandit::is_frozen) {
            for (bandit, contexts) in behind.bandits_mut().iter_mut().zip(contexts) {
                bandit.observe(contexts)?;
            }
            if behind.bandits()[0].observed() >= WARM_UP as f64 {
                behind.bandits_mut().iter_mut().for_each(LinearBandit::freeze);
            }
            return Ok(());
        }
        let (last, samples) = (contexts.len() - 1, contexts[0].len());
        let exits = vec![last; samples];
        match behind {
            LayerExitBandits::Once(bandit) => {
                let decisions = Decisions { notes: contexts[0].clone(), ..Decisions::leaving_at(exits) };
                bandit.learn(setup, None, &decisions, losses)
            }
            LayerExitBandits::AtEveryExit(bandit) => {
                let seen = contexts[..last].iter().enumerate();
                let seen = seen.flat_map(|(exit, contexts)| {
                    contexts.iter().enumerate().map(move |(sample, context)| (exit, sample, &**context))
                });
                bandit.learn(setup, None, &exits, seen, losses)
            }
        }
    }

    /// Returns whether a text stops at an exit after a layer. `exit` is counted from 0, without the n-gram exit.
    fn leaves_behind(&self, exit: usize, signals: &[f64], tokens: usize, notes: &mut Notes) -> Result<bool> {
        match &self.learned.behind {
            LayerExitBandits::AtEveryExit(bandit) => {
                Ok(!bandit.continues(&self.setup, None, exit, signals, tokens, &Mode::Exploit)?)
            }
            LayerExitBandits::Once(bandit) => {
                if exit == 0 {
                    let arm = choose(&bandit.linear, &self.setup, None, signals, tokens, &mut Mode::Exploit)?;
                    *notes = vec![arm as f64];
                }
                Ok(notes.first().is_some_and(|arm| *arm == exit as f64))
            }
        }
    }
}

impl ExitRule for ExitBandits {
    fn reads(&self, exit: usize, last: usize) -> bool {
        let first = usize::from(self.learned.front.is_some());
        exit < last && (matches!(self.learned.behind, LayerExitBandits::AtEveryExit(_)) || exit <= first)
    }

    fn leaves(&self, view: &ExitView<'_>, notes: &mut [Notes]) -> dht_dynamic::Result<Vec<bool>> {
        let first = usize::from(self.learned.front.is_some());
        let mut leaves = Vec::with_capacity(view.members.len());
        for (index, (member, tokens)) in view.members.iter().zip(view.lengths()).enumerate() {
            let signals = match view.answers {
                Some(answers) => signals_of(answers.row(index), tokens),
                None => Vec::new(),
            };
            leaves.push(match &self.learned.front {
                Some(front) if view.exit < first => front.leaves(&self.setup, &signals, tokens)?,
                _ => self.leaves_behind(view.exit - first, &signals, tokens, &mut notes[*member])?,
            });
        }
        Ok(leaves)
    }

    fn flops(&self, exit: usize) -> u64 {
        let front = self.learned.front.as_ref().map_or(0, FrontBandit::flops);
        let behind = (exit + 1).saturating_sub(usize::from(self.learned.front.is_some()));
        front + self.learned.behind.bandits().iter().take(behind).map(LinearBandit::flops).sum::<u64>()
    }

    fn speed(&self) -> Option<f64> {
        Some(self.learned.lambda)
    }

    fn at_speed(&self, lambda: f64) -> dht_dynamic::Result<Arc<dyn dht_dynamic::Router>> {
        let mut other = self.clone();
        other.setup.set_lambda(lambda)?;
        other.learned.lambda = lambda;
        Ok(Arc::new(other))
    }

    fn state(&self) -> dht_dynamic::Result<Value> {
        Ok(to_state(STATE, &self.learned)?)
    }
}
