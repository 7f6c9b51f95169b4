//! The cost accounting equals the count of the one function through which every product runs.
//!
//! The count belongs to the process, so this file holds one test.

use std::collections::BTreeMap;

use dht_dynamic::{evaluate, exit::ExitKind};
use dht_search::dynamic::route::RouteSpec;
use dht_search::evaluation::{evaluate_queued, evaluate_shuffled};
use dht_search::{
    Preset, Result, Route, SearchModel, SearchObjective, SearchSettings,
    dynamic::route::WidthCoupling,
    settings::{
        ContextDesign, Dispatch, ExitLosses, FullModelSteps, HeadDraws, LossSource, RouterKind, SoftLabels, Teacher,
    },
};
use dht_search::{
    transformer::flops::{BackwardNeeds, ClassifierShape, FlopCount, Load},
    transformer::pruning::PrunePlan,
    transformer::{EncodedDataset, Pooling, TextClassifier, TrainSettings, Trainer},
};
use dht_toys::{config, encoder, head_set, random_texts, rng};

/// Texts of `length` tokens, or of 2 to 8 tokens if `length` is `None`.
fn texts(rows: u64, length: Option<usize>) -> EncodedDataset {
    random_texts(rows, length.map_or(2..9, |length| length..length + 1), &mut rng(9))
}

fn model(settings: SearchSettings) -> Result<SearchObjective> {
    model_of(Preset::TDht, settings)
}

fn model_of(preset: Preset, settings: SearchSettings) -> Result<SearchObjective> {
    let rng = &mut rng(1);
    let encoder = encoder(&config([6, 12, 24, 50], None), rng);
    SearchObjective::new(SearchModel::new(encoder, preset.space(6, 12)?, settings, 3, rng)?)
}

/// FLOPs by the encoder's formulas: the sum over routes of count times cost, forward and backward.
struct Formulas<'a> {
    model: &'a SearchModel,
    tokens: usize,
}

impl Formulas<'_> {
    fn classifier(&self) -> ClassifierShape {
        let pooler = self.model.settings().pooling == Pooling::Pooler;
        ClassifierShape { hidden: 24, pooler, classes: 3 }
    }

    fn route(&self, name: &str) -> Result<Route> {
        self.model.space().resolve(&name.parse::<RouteSpec>()?)
    }

    fn passed(&self, route: &Route) -> u64 {
        1 + self.model.space().exits().iter().filter(|exit| **exit < route.depth()).count() as u64
    }

    fn forward(&self, routes: &BTreeMap<String, u64>, exits: impl Fn(&Route) -> u64) -> Result<u64> {
        let (block, load) = (self.model.encoder().block_shape(), Load::of_text(self.tokens));
        routes.iter().try_fold(0, |sum, (name, count)| {
            let route = self.route(name)?;
            let layers: u64 =
                route.layers().map(|(_, heads)| block.forward(load, block.keeping(heads)).total().0).sum();
            Ok(sum + count * (layers + self.classifier().forward(exits(&route)).total().0))
        })
    }

    fn backward(
        &self,
        routes: &BTreeMap<String, u64>,
        exits: impl Fn(&Route) -> u64,
        detached_reads: impl Fn(&Route) -> u64,
    ) -> Result<u64> {
        let (block, load, all) = (self.model.encoder().block_shape(), Load::of_text(self.tokens), BackwardNeeds::ALL);
        routes.iter().try_fold(0, |sum, (name, count)| {
            let route = self.route(name)?;
            let layers: u64 =
                route.layers().map(|(_, heads)| block.backward(load, block.keeping(heads), all).total().0).sum();
            let detached = self.classifier().backward(detached_reads(&route), BackwardNeeds::WEIGHTS_ONLY).total().0;
            Ok(sum + count * (layers + self.classifier().backward(exits(&route), all).total().0 + detached))
        })
    }

    /// FLOPs of routing with queues: the base layers once more, and the base exit where contexts have its signals.
    fn routing(&self, samples: u64) -> u64 {
        let settings = self.model.settings();
        if settings.dispatch == Dispatch::InFlight {
            return 0;
        }
        let block = self.model.encoder().block_shape();
        let base = block.forward(Load::of_text(self.tokens), block.full()).total().0;
        let signals = settings.context != ContextDesign::Paper;
        samples * (base + if signals { self.classifier().forward(1).total().0 } else { 0 })
    }
}

/// Trains, and compares the accounting with the count.
fn checked_training(model: &mut SearchObjective, training: &EncodedDataset, name: &str) -> Result<()> {
    let train = TrainSettings { epochs: 2, batch_size: 8, ..TrainSettings::default() };
    let start = FlopCount::executed().0;
    Trainer::new(train).fit(model, training, &texts(0, None), &mut ())?;
    assert_eq!(model.accounting().flops, FlopCount::executed().0 - start, "training, {name}");
    Ok(())
}

/// Settings that do more than train each text on its route.
fn plans() -> [SearchSettings; 4] {
    let soft = |teacher| Some(SoftLabels { teacher, weight: 0.5, temperature: 2.0 });
    let defaults = SearchSettings { warm_up_contexts: 16, ..SearchSettings::default() };
    let held_out = LossSource::HeldOut { share: 0.3 };
    let on_the_way = ExitLosses::Weighted { weight: 0.5, power: 2.0 };
    [
        SearchSettings {
            full_model_steps: FullModelSteps { first: 0.3, every: 2 },
            loss_source: held_out,
            ..defaults.clone()
        },
        SearchSettings { exit_losses: on_the_way, soft_labels: soft(Teacher::Deepest), ..defaults.clone() },
        SearchSettings { soft_labels: soft(Teacher::Full), loss_source: LossSource::FirstEpoch, ..defaults },
        SearchSettings {
            soft_labels: soft(Teacher::Full),
            full_model_steps: FullModelSteps { first: 0.0, every: 3 },
            loss_source: held_out,
            warm_up_contexts: 16,
            arm_feature_texts: Some(20),
            ..SearchSettings::paper()
        },
    ]
}

fn check_plans() -> Result<()> {
    let training = texts(37, None);
    for settings in plans() {
        for dispatch in [Dispatch::InFlight, Dispatch::Queue { size: 5 }] {
            let mut model = model(SearchSettings { dispatch, ..settings.clone() })?;
            let full_teacher = settings.soft_labels.is_some_and(|soft| soft.teacher == Teacher::Full);
            if full_teacher {
                // A teacher that is smaller than the model, and pruned.
                let rng = &mut rng(2);
                let encoder = encoder(&config([3, 4, 16, 50], None), rng);
                let mut kept = PrunePlan::first_layers(&encoder, 3)?;
                kept.heads[1] = head_set(&[0, 2], 4);
                kept.neurons[2].truncate(5);
                let teacher = TextClassifier::new(encoder, 3, Pooling::Pooler, rng)?.prune(&kept)?;
                model = model.with_teacher(teacher)?;
            }
            checked_training(&mut model, &training, &format!("{settings:?}"))?;
            assert_eq!(model.accounting().teacher_flops > 0, full_teacher);
            let held_out = matches!(settings.loss_source, LossSource::HeldOut { .. });
            assert_eq!(model.accounting().held_out_flops > 0, held_out);
        }
    }
    Ok(())
}

#[test]
fn the_accounting_says_what_ran() -> Result<()> {
    check_plans()?;
    let small = |settings| SearchSettings { warm_up_contexts: 16, arm_feature_texts: Some(20), ..settings };
    let on_the_way =
        SearchSettings { exit_losses: ExitLosses::Weighted { weight: 0.1, power: 1.0 }, ..SearchSettings::default() };
    for settings in [SearchSettings::default(), on_the_way, SearchSettings::paper()].map(small) {
        for dispatch in [Dispatch::InFlight, Dispatch::Queue { size: 5 }] {
            let settings = SearchSettings { dispatch, ..settings.clone() };
            let name = format!("{:?}, {:?}, {dispatch:?}", settings.context, settings.exit_losses);
            for length in [None, Some(7)] {
                let (training, test) = (texts(37, length), texts(20, length));
                let mut model = model(settings.clone())?;
                checked_training(&mut model, &training, &name)?;
                let accounting = model.accounting().clone();
                assert_eq!(accounting.arm_feature_flops > 0, settings.context == ContextDesign::Paper, "{name}");

                let start = FlopCount::executed().0;
                let evaluation = evaluate(model.model(), &test, 6)?;
                assert_eq!(evaluation.flops, FlopCount::executed().0 - start, "evaluation, {name}");
                let start = FlopCount::executed().0;
                let shuffled = evaluate_shuffled(model.model(), &test, &evaluation, 6, &mut rng(1))?;
                assert_eq!(shuffled.flops, FlopCount::executed().0 - start, "shuffled, {name}");
                assert_eq!(shuffled.route_counts(), evaluation.route_counts(), "{name}");

                // Texts of one length: the sum over routes of number times cost.
                let Some(tokens) = length else { continue };
                let formulas = Formulas { model: model.model(), tokens };
                // Exits that a route passes, its own included; where routes are decided in flight, the base exit has
                // a detached read of every text.
                let on_the_way = matches!(settings.exit_losses, ExitLosses::Weighted { .. });
                let detached = settings.exit_losses == ExitLosses::Detached;
                let exits = |route: &Route| if on_the_way { formulas.passed(route) } else { 1 };
                let read_again = u64::from(dispatch == Dispatch::InFlight);
                let detached_reads =
                    |route: &Route| if detached { (formulas.passed(route) - 1).max(read_again) } else { 0 };
                let expected = formulas.forward(&accounting.routes, |route| exits(route) + detached_reads(route))?
                    + formulas.backward(&accounting.routes, exits, detached_reads)?
                    + formulas.routing(accounting.samples)
                    + accounting.arm_feature_flops;
                assert_eq!(accounting.flops, expected, "training by formula, {name}");
                let signals = settings.context != ContextDesign::Paper;
                let passed_exits = |route: &Route| 1 + u64::from(signals && route.depth() > 1);
                assert_eq!(evaluation.flops, formulas.forward(&evaluation.route_counts(), passed_exits)?, "{name}");
                assert_eq!(
                    (shuffled.flops, shuffled.routing_flops),
                    (evaluation.flops, evaluation.routing_flops),
                    "{name}"
                );
            }
        }
    }
    every_kind_of_search()
}

/// Trains, evaluates and evaluates the shuffled control, and compares the accounting with the count.
fn assert_accounting(mut model: SearchObjective, name: &str) -> Result<()> {
    let (training, test, none) = (texts(37, None), texts(20, None), texts(0, None));
    let train = TrainSettings { epochs: 3, batch_size: 8, ..TrainSettings::default() };
    let start = FlopCount::executed().0;
    Trainer::new(train).fit(&mut model, &training, &none, &mut ())?;
    assert_eq!(model.accounting().flops, FlopCount::executed().0 - start, "training, {name}");
    let routes = model.accounting().routes.values().sum::<u64>();
    assert_eq!((routes, model.accounting().samples), (3 * 37, 3 * 37), "{name}");
    let start = FlopCount::executed().0;
    let evaluation = evaluate(model.model(), &test, 6)?;
    assert_eq!(evaluation.flops, FlopCount::executed().0 - start, "evaluation, {name}");
    let start = FlopCount::executed().0;
    let shuffled = evaluate_shuffled(model.model(), &test, &evaluation, 6, &mut rng(1))?;
    assert_eq!(shuffled.flops, FlopCount::executed().0 - start, "shuffled, {name}");
    if let Dispatch::Queue { .. } = model.model().settings().dispatch {
        let start = FlopCount::executed().0;
        let queued = evaluate_queued(model.model(), &test, 6)?;
        assert_eq!(queued.flops, FlopCount::executed().0 - start, "evaluation with queues, {name}");
    }
    Ok(())
}

fn every_kind_of_search() -> Result<()> {
    for preset in Preset::ALL {
        for settings in [SearchSettings::for_preset(preset), SearchSettings::paper()] {
            for dispatch in [Dispatch::InFlight, Dispatch::Queue { size: 5 }] {
                for head_draws in [HeadDraws::PerGroup, HeadDraws::PerSample] {
                    for width_coupling in [WidthCoupling::Heads, WidthCoupling::HeadsAndFfn] {
                        let (warm_up_contexts, arm_feature_texts) = (16, Some(20));
                        let settings = SearchSettings {
                            dispatch,
                            head_draws,
                            width_coupling,
                            warm_up_contexts,
                            arm_feature_texts,
                            ..settings.clone()
                        };
                        let name = format!("{preset}, {settings:?}");
                        assert_accounting(model_of(preset, settings)?, &name)?;
                    }
                }
            }
        }
    }
    let threshold = RouterKind::EntropyThreshold { threshold: 0.999 };
    for router in [RouterKind::SequentialBandit, threshold, RouterKind::Patience { patience: 1 }] {
        for exit_losses in [ExitLosses::Detached, ExitLosses::Weighted { weight: 0.3, power: 0.0 }] {
            let settings = SearchSettings { router, exit_losses, warm_up_contexts: 16, ..SearchSettings::default() };
            assert_accounting(model(settings)?, &format!("{router:?}, {exit_losses:?}"))?;
        }
    }
    for exit_losses in [ExitLosses::Detached, ExitLosses::Weighted { weight: 0.3, power: 0.0 }] {
        for dispatch in [Dispatch::InFlight, Dispatch::Queue { size: 5 }] {
            let (exit_kind, warm_up_contexts) = (ExitKind::SideLayer { width: 20 }, 16);
            let settings =
                SearchSettings { exit_kind, exit_losses, dispatch, warm_up_contexts, ..SearchSettings::default() };
            let last_exit_pooling = Some(Pooling::Pooler);
            let own_last_exit = SearchSettings { last_exit_pooling, ..settings.clone() };
            assert_accounting(model(settings)?, &format!("side exits, {exit_losses:?}, {dispatch:?}"))?;
            assert_accounting(model(own_last_exit)?, &format!("another last exit, {exit_losses:?}, {dispatch:?}"))?;
        }
    }
    for settings in [SearchSettings::for_preset(Preset::PDht), SearchSettings::paper()] {
        let settings = SearchSettings { warm_up_contexts: 16, arm_feature_texts: Some(20), ..settings };
        let model = model_of(Preset::FDht, settings)?.with_next_phase(Preset::PDht.space(6, 12)?, 2, &mut rng(2))?;
        assert_accounting(model, "F-DHT and then P-DHT")?;
    }
    Ok(())
}
