//! Tests that predictions on dynamic routes equal those of the plain encoder.

use candle_core::{Device, Tensor};
use dht_dynamic::Error as Dynamic;
use dht_dynamic::exit::ExitReads;
use dht_dynamic::passage::{GroupTrace, PassedExits, Walk};
use dht_dynamic::router::{Decisions, ExitView, GroupDecisions, GroupView, HeadSetGroup, Mode};
use dht_dynamic::{Evaluation, Predictor};
use dht_dynamic::{Route, Router};
use dht_transformer::{
    BertConfig, EncodedDataset, Encoding, ForwardContext, HeadPlan, Hidden, Sample, tensors::log_softmax,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::error::{Error, Result};
use crate::evaluation::evaluate_on;
use crate::model::SearchModel;
use crate::routing::{FixedRoutes, Learner, random_heads};
use crate::settings::SearchSettings;
use crate::space::{Preset, SearchSpace};

/// Calls [`dht_dynamic::evaluate`], with the error type of this crate.
pub(super) fn evaluate(model: &dyn Predictor, data: &EncodedDataset, batch_size: usize) -> Result<Evaluation> {
    Ok(dht_dynamic::evaluate(model, data, batch_size)?)
}

pub(super) const LAYERS: usize = 6;
pub(super) const CLASSES: usize = 3;

pub(super) fn texts(rows: u64) -> EncodedDataset {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let samples = (0..rows).map(|id| {
        let ids: Vec<u32> = (0..rng.random_range(1..9)).map(|_| rng.random_range(0..50)).collect();
        Sample {
            id,
            label: 0,
            targets: Vec::new(),
            encoding: Encoding { type_ids: vec![0; ids.len()], ids, truncated: false, rest: Default::default() },
        }
    });
    let labels = (0..CLASSES).map(|class| class.to_string()).collect();
    EncodedDataset { samples: samples.collect(), labels, truncated_rows: 0 }
}

pub(super) fn model(settings: SearchSettings) -> SearchModel {
    model_of(Preset::TDht, settings)
}

pub(super) fn model_of(preset: Preset, settings: SearchSettings) -> SearchModel {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let mut config = BertConfig::small(LAYERS, 12, 24, 50).unwrap();
    config.initializer_range = 0.3;
    let encoder = dht_transformer::Encoder::random(&config, &Device::Cpu, &mut rng).unwrap();
    let space = preset.space(LAYERS, 12).unwrap();
    SearchModel::new(encoder, space, settings, CLASSES, &mut rng).unwrap()
}

fn probabilities(logits: &Tensor) -> Vec<Vec<f32>> {
    log_softmax(logits).unwrap().exp().unwrap().to_vec2().unwrap()
}

fn assert_close(values: &[f32], expected: &[f32], what: &str) {
    for (a, b) in values.iter().zip(expected) {
        assert!((a - b).abs() <= 1e-5, "{what}: {values:?}, expected {expected:?}");
    }
}

/// Two settings: this crate's defaults, with a classifier for each exit, and the DHT paper's, with one classifier for
/// all exits.
fn kinds() -> [SearchSettings; 2] {
    [SearchSettings::default(), SearchSettings::paper()]
}

/// Head router that selects random heads, drawn for each text.
#[derive(Debug, Clone)]
pub(super) struct AnyHeads;

impl Router for AnyHeads {
    fn reads(&self, _: usize, _: usize) -> bool {
        false
    }

    fn heads(&self, view: &GroupView<'_>, mode: &mut Mode<'_>) -> dht_dynamic::Result<Option<GroupDecisions>> {
        Ok(Some(GroupDecisions::new(self.sets_keeping(view, &vec![8; view.members.len()], mode)?)))
    }

    fn keeps_all(&self) -> bool {
        false
    }
}

impl Learner for AnyHeads {
    fn sets_keeping(&self, _: &GroupView<'_>, kept: &[usize], _: &mut Mode<'_>) -> Result<Vec<HeadSetGroup>> {
        let one = |(index, count): (usize, &usize)| {
            Ok(HeadSetGroup::new(
                vec![index],
                random_heads(12, None, *count, &mut ChaCha8Rng::seed_from_u64(index as u64))?,
            ))
        };
        kept.iter().enumerate().map(one).collect()
    }

    fn box_clone(&self) -> Box<dyn Learner> {
        Box::new(self.clone())
    }
}

fn fixed_routes(space: &SearchSpace, data: &EncodedDataset, routes: &[Route]) -> FixedRoutes {
    let ids = data.samples.iter().map(|sample| sample.id);
    FixedRoutes::new(space.clone(), Box::new(AnyHeads), ids.zip(routes.iter().cloned()).collect())
}

fn on_routes<'a>(
    model: &'a SearchModel,
    routes: &'a FixedRoutes,
    ctx: &'a ForwardContext,
    passed: PassedExits,
) -> Walk<'a> {
    Walk { router: routes, heads: routes, ..model.walk(ctx, passed) }
}

#[test]
fn texts_of_an_unknown_class_are_rejected_with_their_row() {
    let (model, mut data) = (model(SearchSettings::default()), texts(5));
    data.labels.push("one more".into());
    data.samples[4].label = CLASSES as u32;
    match evaluate(&model, &data, 2) {
        Err(Error::Dynamic(Dynamic::Transformer(dht_transformer::Error::Argument { name: "label", got, .. }))) => {
            assert_eq!(got, "3 in row 4");
        }
        other => panic!("{other:?}"),
    }
    // Other class names may stand for another order of the classes.
    data.samples[4].label = 2;
    assert!(matches!(evaluate(&model, &data, 2), Err(Error::Dynamic(Dynamic::Shape { what: "labels", .. }))));
    data.labels.pop();
    assert_eq!(evaluate(&model, &data, 2).unwrap().labels.len(), 5);
}

#[test]
fn a_truncated_route_equals_an_encoder_truncated_there() {
    for settings in kinds() {
        let model = model(settings);
        let (data, exits) = (texts(13), model.space().exits().to_vec());
        // One batch mixes all depths, so that samples are regrouped during the forward pass.
        let depth = |row: usize| exits[row % exits.len()];
        let shape = model.space().model_shape();
        let routes: Vec<Route> = (0..13).map(|row| Route::truncated(shape, depth(row)).unwrap()).collect();
        let fixed = fixed_routes(model.space(), &data, &routes);
        let batch = data.batch(&(0..13).collect::<Vec<_>>()).unwrap();
        let ctx = ForwardContext::inference();
        let predictions = on_routes(&model, &fixed, &ctx, PassedExits::Skip).predict(&batch).unwrap().predictions;
        for (exit, depth) in exits.iter().enumerate() {
            let encoder = model.encoder().truncated(*depth).unwrap();
            let ctx = ForwardContext::inference();
            let hidden = encoder.embed(&batch, &ctx).unwrap();
            let hidden = encoder.run(0..*depth, &hidden, &HeadPlan::Full, &ctx).unwrap();
            let plain = probabilities(&model.model().exits()[exit].logits(&hidden, &ctx).unwrap());
            for row in (0..13).filter(|row| row % exits.len() == exit) {
                assert_eq!(predictions[row].route.depth(), *depth);
                assert_close(&predictions[row].probabilities, &plain[row], &format!("row {row}, depth {depth}"));
            }
        }
        let evaluation = evaluate_on(&model, &data, &routes, 4).unwrap();
        let labels: Vec<u32> = predictions.iter().map(|prediction| prediction.label).collect();
        assert_eq!(evaluation.labels, labels);
        assert!(labels.iter().any(|label| *label != labels[0]), "a model that always says the same tests nothing");
    }
}

#[test]
fn before_it_is_trained_a_model_runs_in_full() {
    let model = model(SearchSettings::default());
    let data = texts(9);
    let batch = data.batch(&(0..9).collect::<Vec<_>>()).unwrap();
    let predictions = model.predict_batch(&batch).unwrap();
    let ctx = ForwardContext::inference();
    let hidden = model.encoder().embed(&batch, &ctx).unwrap();
    let hidden = model.encoder().run(0..LAYERS, &hidden, &HeadPlan::Full, &ctx).unwrap();
    let last = model.space().exits().len() - 1;
    let plain = probabilities(&model.model().exits()[last].logits(&hidden, &ctx).unwrap());
    for (prediction, plain) in predictions.iter().zip(&plain) {
        assert_eq!(prediction.route.to_string(), "6L12H");
        assert_close(&prediction.probabilities, plain, "the full route");
    }
}

#[test]
fn a_routed_text_in_a_batch_equals_the_text_alone() {
    for preset in Preset::ALL {
        for settings in [SearchSettings::for_preset(preset), SearchSettings::paper()] {
            let model = model_of(preset, settings);
            let all_passed = match preset {
                Preset::PDht => vec![PassedExits::Skip],
                _ => vec![PassedExits::Skip, PassedExits::Attached, PassedExits::Detached],
            };
            for passed in all_passed {
                walk(&model, passed);
            }
        }
    }
}

fn walk(model: &SearchModel, passed: PassedExits) {
    let (space, data) = (model.space(), texts(24));
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let all = space.routes();
    let routes: Vec<Route> = (0..24).map(|_| all[rng.random_range(0..all.len())].1.clone()).collect();
    let fixed = fixed_routes(space, &data, &routes);
    let batch = data.batch(&(0..24).collect::<Vec<_>>()).unwrap();
    let ctx = ForwardContext::inference();
    let trace = on_routes(model, &fixed, &ctx, passed).run(&batch, &mut Mode::Exploit).unwrap();
    assert_eq!(trace.routes(space.layout(), 0).unwrap(), routes);
    let mut seen = 0;
    for output in &trace.outputs {
        let logits = probabilities(&output.logits);
        for (sample, row) in output.samples.iter().zip(&logits) {
            let exit = trace.decisions.exits[*sample];
            assert!(output.exit == exit || (passed != PassedExits::Skip && output.exit < exit));
            let alone = data.batch(&[*sample]).unwrap();
            let mut hidden = model.encoder().embed(&alone, &ctx).unwrap();
            if let Some(fixed) = space.base() {
                hidden = model.encoder().run(fixed.layers(), &hidden, &HeadPlan::Full, &ctx).unwrap();
            }
            for group in trace.groups.iter().take(space.groups_before(output.exit).len()) {
                hidden = one_group(model, group, *sample, &hidden, &ctx);
            }
            if let Some(fixed) = space.tail() {
                hidden = model.encoder().run(fixed.layers(), &hidden, &HeadPlan::Full, &ctx).unwrap();
            }
            let alone = probabilities(&model.model().exits()[output.exit].logits(&hidden, &ctx).unwrap());
            assert_close(row, &alone[0], &format!("sample {sample} at exit {}", output.exit));
            seen += 1;
        }
    }
    assert_eq!(seen, trace.exit_reads.iter().flatten().map(|reads: &ExitReads| reads.total()).sum::<u64>());
}

fn one_group(model: &SearchModel, trace: &GroupTrace, sample: usize, hidden: &Hidden, ctx: &ForwardContext) -> Hidden {
    let index = trace.members.iter().position(|member| *member == sample).unwrap();
    let sets = trace.decisions.head_sets.iter().filter(|group| group.samples.contains(&index));
    let sets: Vec<_> = sets.collect();
    assert_eq!(sets.len(), 1, "each sample is in one group");
    assert_eq!(sets[0].heads.len(), trace.decisions.kept[index]);
    let layers = model.space().groups()[trace.group].layers();
    model.encoder().run(layers, hidden, &HeadPlan::Same(sets[0].heads), ctx).unwrap()
}

#[test]
fn routes_of_another_space_are_refused() {
    let model = model(SearchSettings::default());
    let data = texts(1);
    let shape = dht_dynamic::route::ModelShape { layers: 12, heads: 12 };
    let refused = |route: Route| {
        matches!(evaluate_on(&model, &data, &[route], 4), Err(Error::Dynamic(Dynamic::RouteNotInSpace { .. })))
    };
    assert!(refused(Route::truncated(shape, 6).unwrap()));
    assert!(refused(Route::truncated(model.space().model_shape(), 3).unwrap()));
    let group = |role, layers, heads| dht_dynamic::route::RouteGroup {
        role,
        layers: dht_dynamic::route::LayerGroup::new(layers).unwrap(),
        heads,
    };
    let (base, dynamic) = (dht_dynamic::route::GroupRole::Base, dht_dynamic::route::GroupRole::Dynamic);
    let uneven = vec![group(base, 0..2, 12), group(dynamic, 2..3, 8), group(dynamic, 3..4, 10)];
    assert!(refused(Route::new(model.space().model_shape(), uneven).unwrap()));
    let odd = vec![group(base, 0..1, 12), group(dynamic, 1..2, 9)];
    assert!(refused(Route::new(model.space().model_shape(), odd).unwrap()));
    let wrong_count = evaluate_on(&model, &data, &[], 4);
    assert!(matches!(wrong_count, Err(Error::Dynamic(Dynamic::Shape { what: "routes", .. }))));
}

/// Test router that stores the class log-probabilities of each exit in its notes, and checks that the head router
/// receives the same values.
#[derive(Debug, Clone)]
struct Noting;

impl Router for Noting {
    fn reads(&self, exit: usize, last: usize) -> bool {
        exit < last
    }

    fn at_exit(&self, view: &ExitView<'_>, decisions: &mut Decisions, _: &mut Mode<'_>) -> dht_dynamic::Result<()> {
        for (member, answer) in view.members.iter().zip(view.needed_answers()?.rows()) {
            decisions.notes_mut()[*member] = answer.to_vec();
        }
        Ok(())
    }

    fn heads(&self, view: &GroupView<'_>, mode: &mut Mode<'_>) -> dht_dynamic::Result<Option<GroupDecisions>> {
        assert_eq!(view.decisions.answers, view.decisions.notes, "group {}", view.group);
        AnyHeads.heads(view, mode)
    }

    fn keeps_all(&self) -> bool {
        false
    }

    fn reads_answers(&self) -> bool {
        true
    }
}

#[test]
fn the_choice_of_heads_gets_the_answers_of_the_last_exit_read() {
    let (model, ctx) = (model(SearchSettings::default()), ForwardContext::inference());
    let walk = Walk { router: &Noting, heads: &Noting, ..model.walk(&ctx, PassedExits::Skip) };
    let batch = texts(5).batch(&[0, 1, 2, 3, 4]).unwrap();
    let trace = walk.run(&batch, &mut Mode::Exploit).unwrap();
    assert!(trace.groups.len() > 2);
}
