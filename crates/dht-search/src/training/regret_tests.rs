//! Tests of regret on a synthetic encoder, for which the best depth of each text and the best heads are known.
//!
//! There are four kinds of text. The hidden state of a token has two values for each kind: one marks the kind, the
//! other encodes the class. The classifier of exit e reads the class values of kinds 0 to e. A text of kind k is
//! therefore classified correctly from exit k on, and deeper exits gain nothing. Attention is uniform. A helpful head
//! adds to the class value the class value that it reads; a harmful head subtracts a part of it. Feed-forward layers
//! have no effect.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};
use dht_dynamic::passage::{PassedExits, Trace};
use dht_dynamic::route::{RouteSpec, Segment};
use dht_dynamic::router::{Decisions, ExitView, Mode};
use dht_dynamic::{LogProbabilities, Router};
use dht_transformer::{BertConfig, Encoder, Encoding, ForwardContext, HeadSet, Hidden, PackedBatch, Pooling, Sample};
use rand::seq::SliceRandom;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::objective::SearchObjective;
use crate::error::Result;
use crate::model::SearchModel;
use crate::reward::RewardShape;
use crate::routing::{Learner, Losses, Preparation};
use crate::settings::{RouterKind, SearchSettings};
use crate::space::{BaseState, Search, SearchSpace, SpaceConfig};

const HEADS: usize = 8;
const KEPT: usize = 4;
/// Number of columns of a hidden state.
const HIDDEN: usize = 32;
const HEAD: usize = HIDDEN / HEADS;
const KINDS: usize = 4;
const HELPFUL: [usize; KEPT] = [1, 3, 4, 6];
const LAMBDA: f64 = 0.25;
const TEXTS: usize = 5000;
const BATCH: usize = 50;
const SEEDS: u64 = 20;
/// Share of texts with the wrong label.
const NOISE: f64 = 0.02;

/// Column of a hidden state that marks the kind of a text; [`class`] is the column of its class. The negative of each
/// value is half a row later. Every second column is 0, so that pooling never adds two of these values.
const fn mark(kind: usize) -> usize {
    2 * kind
}

const fn class(kind: usize) -> usize {
    2 * KINDS + 2 * kind
}

/// Adds a value to a column of a hidden state, and subtracts it half a row later.
fn plant(row: &mut [f32], index: usize, value: f32) {
    row[index] += value;
    row[index + HIDDEN / 2] -= value;
}

fn token(kind: usize, label: usize) -> usize {
    2 * kind + label
}

fn planted_encoder() -> Encoder {
    let mut config = BertConfig::small(4, HEADS, HIDDEN, 2 * KINDS).unwrap();
    (config.hidden_dropout_prob, config.attention_probs_dropout_prob) = (0.0, 0.0);
    let encoder = Encoder::random(&config, &Device::Cpu, &mut ChaCha8Rng::seed_from_u64(0)).unwrap();
    let mut tensors: BTreeMap<String, Tensor> = encoder.to_tensors().unwrap();
    for (name, tensor) in &mut tensors {
        let mut values = vec![0_f32; tensor.elem_count()];
        if name.ends_with("word_embeddings.weight") {
            for (kind, label) in (0..KINDS).flat_map(|kind| [(kind, 0), (kind, 1)]) {
                let row = &mut values[token(kind, label) * HIDDEN..][..HIDDEN];
                plant(row, mark(kind), 2.0);
                plant(row, class(kind), if label == 1 { 1.0 } else { -1.0 });
            }
        } else if name.ends_with("LayerNorm.weight") {
            values.fill(1.0);
        } else if name.ends_with("attention.self.value.weight") {
            // Value k of a head is half the difference of kind k's pair.
            for (head, kind) in (0..HEADS).flat_map(|head| (0..KINDS).map(move |kind| (head, kind))) {
                let row = &mut values[(head * HEAD + kind) * HIDDEN..][..HIDDEN];
                plant(row, class(kind), 0.5);
            }
        } else if name.ends_with("attention.output.dense.weight") {
            for (head, kind) in (0..HEADS).flat_map(|head| (0..KINDS).map(move |kind| (head, kind))) {
                let gain = if HELPFUL.contains(&head) { 0.15 } else { -0.05 };
                values[class(kind) * HIDDEN + head * HEAD + kind] = gain;
                values[(class(kind) + HIDDEN / 2) * HIDDEN + head * HEAD + kind] = -gain;
            }
        }
        *tensor = Tensor::from_vec(values, tensor.dims(), &Device::Cpu).unwrap();
    }
    Encoder::from_tensors(&config, &tensors, &Device::Cpu).unwrap()
}

fn space(integrated: bool) -> SearchSpace {
    let arm = |depth: usize| {
        let base = Segment { layers: 1, heads: HEADS };
        let rest = Segment { layers: depth - 1, heads: KEPT };
        RouteSpec::new(if depth == 1 { vec![base] } else { vec![base, rest] }).unwrap()
    };
    SearchSpace::new(SpaceConfig {
        layers: 4,
        heads: HEADS,
        exits: vec![1, 2, 3, 4],
        pinned: 0,
        tail: 0,
        base_state: BaseState::OnRoute,
        search: match integrated {
            true => Search::Integrated { arms: (1..=4).map(arm).collect() },
            false => Search::Tree { heads: vec![vec![KEPT]; 3] },
        },
    })
    .unwrap()
}

fn planted_search(integrated: bool, settings: SearchSettings) -> SearchObjective {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let settings = SearchSettings { warm_up_contexts: 128, pooling: Pooling::Mean, ..settings };
    let mut model = SearchModel::new(planted_encoder(), space(integrated), settings, 2, &mut rng).unwrap();
    let mut values = model.encoder().parameters().values().unwrap();
    for (name, tensor) in values.iter_mut().filter(|(name, _)| name.starts_with("exit.")) {
        tensor.values.fill(0.0);
        if name.ends_with("weight") {
            let depth: usize = name.split('.').nth(1).unwrap().parse().unwrap();
            for kind in 0..depth {
                // Row 1 of (2, hidden) is that of class 1.
                plant(&mut tensor.values[HIDDEN..2 * HIDDEN], class(kind), 0.6);
            }
        }
    }
    model.encoder().parameters().set_values(values).unwrap();
    let preparation = Preparation { pinned: model.heads_of_largest_norm().unwrap(), arm_features: None };
    model.router.prepare(&preparation).unwrap();
    model.heads.prepare(&preparation).unwrap();
    SearchObjective::new(model).unwrap()
}

/// Draws a batch of synthetic texts, and returns the kind of each text. Some texts have the wrong label.
fn texts(rng: &mut ChaCha8Rng) -> (PackedBatch, Vec<usize>) {
    let mut kinds = Vec::new();
    let samples: Vec<Sample> = (0..BATCH as u64)
        .map(|id| {
            let (kind, label) = (rng.random_range(0..KINDS), rng.random_range(0..2));
            kinds.push(kind);
            let ids = vec![token(kind, label) as u32; rng.random_range(2..6)];
            let wrong = usize::from(rng.random_bool(NOISE));
            let encoding = Encoding { type_ids: vec![0; ids.len()], ids, truncated: false, rest: Default::default() };
            Sample { id, label: (label ^ wrong) as u32, targets: Vec::new(), encoding }
        })
        .collect();
    (PackedBatch::from_samples(&samples).unwrap(), kinds)
}

/// Regret of a text of this kind at an exit against the best exit. Leaving too early costs a loss of at least ln 2;
/// leaving too late costs the additional layers.
fn depth_regret(kind: usize, exit: usize) -> f64 {
    let layers = LAMBDA / 4.0;
    if exit < kind { 2_f64.ln() - layers * (kind - exit) as f64 } else { layers * (exit - kind) as f64 }
}

/// Regret of a head set: the share of the helpful heads that it leaves out.
fn heads_regret(set: HeadSet) -> f64 {
    HELPFUL.iter().filter(|head| !set.contains(**head)).count() as f64 / KEPT as f64
}

/// Cumulative regret over all texts while the bandits learn: of the depths, and of the head sets.
fn regret(search: &mut SearchObjective, mode: for<'a> fn(&'a mut dyn Rng) -> Mode<'a>, seed: u64) -> [f64; 2] {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut sums = [0.0; 2];
    for _ in 0..TEXTS / BATCH {
        let (batch, kinds) = texts(&mut rng);
        let ctx = search.with_head_gradients(ForwardContext::training(search.model().encoder().parameters(), seed, 0));
        let trace = search.model().walk(&ctx, PassedExits::Attached).run(&batch, &mut mode(&mut rng)).unwrap();
        let (loss, losses) = search.losses(&batch, &trace).unwrap();
        let depths = kinds.iter().zip(&trace.decisions.exits);
        sums[0] += depths.map(|(kind, exit)| depth_regret(*kind, *exit)).sum::<f64>();
        for group in trace.groups.iter().flat_map(|group| &group.decisions.head_sets) {
            sums[1] += group.samples.len() as f64 * heads_regret(group.heads);
        }
        search.dynamic.learn(&trace, &losses).unwrap();
        ctx.backward(&loss, search.model().encoder().parameters()).unwrap();
        search.await_head_gradients(&batch, trace, &losses, &ctx);
        search.learn_from_head_gradients().unwrap();
    }
    sums
}

#[test]
fn the_planted_encoder_does_what_is_planted() {
    let search = planted_search(false, SearchSettings { explore_power: 0.0, ..SearchSettings::default() });
    let model = search.model();
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let (batch, kinds) = texts(&mut rng);
    let truth: Vec<u32> = batch.ids.iter().map(|id| id % 2).collect();
    let mut margins = Vec::new();
    for helpful in [true, false] {
        let set = HeadSet::from_indices((0..HEADS).filter(|head| HELPFUL.contains(head) == helpful), HEADS).unwrap();
        let ctx = ForwardContext::inference();
        let mut hidden = model.encoder().embed(&batch, &ctx).unwrap();
        for exit in 0..KINDS {
            let plan = if exit == 0 { dht_transformer::HeadPlan::Full } else { dht_transformer::HeadPlan::Same(set) };
            hidden = model.encoder().run(exit..exit + 1, &hidden, &plan, &ctx).unwrap();
            let logits: Vec<Vec<f32>> = model.model().exits()[exit].logits(&hidden, &ctx).unwrap().to_vec2().unwrap();
            for (sample, (row, kind)) in logits.iter().zip(&kinds).enumerate() {
                let label = truth[batch.spans.range(sample).start];
                let understood = (row[1] - row[0]).abs() > 0.5 && (row[1] > row[0]) == (label == 1);
                assert_eq!(understood, exit >= *kind, "kind {kind} at exit {exit}: {row:?}");
            }
            if exit == KINDS - 1 {
                margins.push(logits.iter().map(|row| f64::from((row[1] - row[0]).abs())).sum::<f64>());
            }
        }
    }
    assert!(margins[0] > 1.2 * margins[1], "helpful heads must help: {margins:?}");
}

/// Number of seeds whose regret is at most a quarter of the regret on uniformly random routes, once for depth and once
/// for heads.
fn seeds_within_a_quarter(integrated: bool, settings: &SearchSettings) -> [u64; 2] {
    let mut within = [0; 2];
    for seed in 0..SEEDS {
        let learned = regret(&mut planted_search(integrated, settings.clone()), |rng| Mode::Explore(rng), seed);
        let uniform = SearchSettings { ..settings.clone() };
        let even = regret(&mut planted_search(integrated, uniform), |rng| Mode::Random(rng), seed);
        for (within, (regret, even)) in within.iter_mut().zip(learned.into_iter().zip(even)) {
            *within += u64::from(regret <= 0.25 * even);
        }
    }
    within
}

fn strategies() -> [(&'static str, bool, SearchSettings); 3] {
    let base = || SearchSettings {
        exit_losses: crate::settings::ExitLosses::Weighted { weight: 0.3, power: 0.0 },
        reward_shape: RewardShape::Gain { lambda: LAMBDA },
        exploration: crate::settings::PerBandit::all(1.0),
        head_feedback: crate::reward::HeadFeedback::Gradient,
        explore_power: 0.0,
        prior_precision: 10.0,
        ..SearchSettings::default()
    };
    let sequential = SearchSettings {
        router: RouterKind::SequentialBandit,
        exploration: crate::settings::PerBandit::all(0.3),
        ..base()
    };
    [("tree", false, base()), ("integrated", true, base()), ("sequential", false, sequential)]
}

/// Control router that reads, for each sample, the context of another random sample of the batch.
#[derive(Debug, Clone)]
struct ShuffledContexts(Box<dyn Learner>);

fn shuffled(view: &ExitView<'_>, mode: &mut Mode<'_>) -> dht_dynamic::Result<(Hidden, Option<LogProbabilities>)> {
    let (Mode::Random(rng) | Mode::Explore(rng)) = mode else { panic!("a control in training") };
    let mut order: Vec<usize> = (0..view.members.len()).collect();
    order.shuffle(*rng);
    Ok((view.needed_hidden()?.select(&order)?, view.answers.map(|answers| answers.select(&order))))
}

fn seen<'a>(view: &ExitView<'a>, hidden: &'a Hidden, answers: Option<&'a LogProbabilities>) -> ExitView<'a> {
    ExitView::new(view.exit, view.batch, view.members, answers, Some(hidden))
}

impl Router for ShuffledContexts {
    fn reads(&self, exit: usize, last: usize) -> bool {
        self.0.reads(exit, last)
    }

    fn begin(
        &self,
        view: &ExitView<'_>,
        decisions: &mut Decisions,
        last: usize,
        mode: &mut Mode<'_>,
    ) -> dht_dynamic::Result<()> {
        let (hidden, answers) = shuffled(view, mode)?;
        self.0.begin(&seen(view, &hidden, answers.as_ref()), decisions, last, mode)
    }

    fn at_exit(&self, view: &ExitView<'_>, decisions: &mut Decisions, mode: &mut Mode<'_>) -> dht_dynamic::Result<()> {
        let (hidden, answers) = shuffled(view, mode)?;
        self.0.at_exit(&seen(view, &hidden, answers.as_ref()), decisions, mode)
    }
}

impl Learner for ShuffledContexts {
    fn is_warm(&self) -> bool {
        self.0.is_warm()
    }

    fn learn(&mut self, trace: &Trace, losses: &Losses) -> Result<u64> {
        self.0.learn(trace, losses)
    }

    fn box_clone(&self) -> Box<dyn Learner> {
        Box::new(self.clone())
    }
}

#[test]
fn default_settings_find_planted_depths_from_the_context_alone() {
    for seed in 0..5 {
        let settings = SearchSettings::default;
        let [even, _] = regret(&mut planted_search(false, settings()), |rng| Mode::Random(rng), seed);
        let [learned, _] = regret(&mut planted_search(false, settings()), |rng| Mode::Explore(rng), seed);
        let mut control = planted_search(false, settings());
        control.dynamic.router = Box::new(ShuffledContexts(control.dynamic.router.clone()));
        let [of_control, _] = regret(&mut control, |rng| Mode::Explore(rng), seed);
        assert!(learned <= 0.25 * even, "seed {seed}: {learned} of {even}");
        // The best single exit has about a third of the regret of random ones.
        assert!(of_control > 0.25 * even, "seed {seed}, from contexts of other texts: {of_control} of {even}");
    }
}

#[test]
fn each_strategy_finds_planted_routes_within_5000_texts() {
    for (name, integrated, settings) in strategies() {
        let [depth, heads] = seeds_within_a_quarter(integrated, &settings);
        assert!(
            depth >= 19 && heads >= 19,
            "{name}: {depth} and {heads} of {SEEDS} seeds within a quarter of uniform's"
        );
    }
}
