//! Custom routers: they run with the bandits' heads, and their invalid decisions are rejected.

use dht_dynamic::Error as Dynamic;
use dht_search::cost::{OwnCost, RouteCost};
use dht_search::dynamic::passage::Trace;
use dht_search::dynamic::router::{Decisions, ExitView, GroupDecisions, GroupView, HeadSetGroup, Mode};
use dht_search::dynamic::{self, Router};
use dht_search::routing::{Losses, taking_arms};
use dht_search::settings::{ContextDesign, RouterKind};
use dht_search::transformer::Trainer;
use dht_search::{
    CostModel, Error, Learner, OwnParts, Preset, Result, Route, SearchModel, SearchObjective, SearchSettings,
};
use dht_toys::{head_set, refused};

use crate::toy::{CLASSES, HEADS, LAYERS, evaluate, kinds, model, task, train_settings, trained, untrained};

type Start = fn(usize, usize) -> Decisions;
type AtExit = fn(&ExitView<'_>, &mut Decisions) -> dynamic::Result<()>;

/// Router that decides by two functions and reads no exit.
#[derive(Debug, Clone)]
struct Own(Start, AtExit);

impl Router for Own {
    fn reads(&self, _: usize, _: usize) -> bool {
        false
    }

    fn begin(
        &self,
        view: &ExitView<'_>,
        decisions: &mut Decisions,
        last: usize,
        _: &mut Mode<'_>,
    ) -> dynamic::Result<()> {
        *decisions = self.0(view.members.len(), last);
        Ok(())
    }

    fn at_exit(&self, view: &ExitView<'_>, decisions: &mut Decisions, _: &mut Mode<'_>) -> dynamic::Result<()> {
        self.1(view, decisions)
    }
}

impl Learner for Own {
    fn box_clone(&self) -> Box<dyn Learner> {
        Box::new(self.clone())
    }
}

const NOTHING: AtExit = |_, _| Ok(());
const LAST: Start = |samples, last| Decisions::leaving_at(vec![last; samples]);

fn forget_all(_: &ExitView<'_>, decisions: &mut Decisions) -> dynamic::Result<()> {
    *decisions = Decisions::leaving_at(Vec::new());
    Ok(())
}

fn with(router: Own, context: ContextDesign) -> Result<SearchModel> {
    let settings = SearchSettings { context, ..kinds()[0].1.clone() };
    Ok(model(settings, 1)?.into_model().with_router(Box::new(router)))
}

#[test]
fn a_router_without_context_works_with_every_head_context() -> Result<()> {
    let (training, test) = (task(37, 1), task(20, 2));
    let first_or_last: Start = |samples, last| {
        Decisions::leaving_at((0..samples).map(|sample| if sample % 2 == 0 { 0 } else { last }).collect())
    };
    for context in [ContextDesign::StateAndSignals, ContextDesign::Signals, ContextDesign::State] {
        let search = trained(SearchObjective::new(with(Own(first_or_last, NOTHING), context)?)?, &training)?;
        assert_eq!(search.accounting().samples, 2 * 37);
        let evaluation = evaluate(search.model(), &test, 8)?;
        assert!(evaluation.routes.iter().all(|route| [1, LAYERS].contains(&route.depth())), "{context:?}");
    }
    Ok(())
}

#[test]
fn decisions_that_make_no_sense_are_refused_with_what_is_wrong() -> Result<()> {
    let test = task(7, 2);
    let cases: [(Own, &str); 6] = [
        (Own(|samples, _| Decisions::leaving_at(vec![0; samples - 1]), NOTHING), "6 exits"),
        (Own(|samples, last| Decisions::leaving_at(vec![last + 1; samples]), NOTHING), "4 for sample 0"),
        (Own(LAST, forget_all), "0 exits"),
        (Own(LAST, |view, decisions| decisions.leave(view.members[0], 99)), "99 for sample"),
        (Own(LAST, |_, decisions| decisions.leave(7, 0)), "7"),
        (
            Own(LAST, |view, decisions| if view.exit == 2 { decisions.leave(view.members[0], 0) } else { Ok(()) }),
            "0 for",
        ),
    ];
    for (router, wrong) in cases {
        let name = format!("{router:?}");
        match evaluate(&with(router, ContextDesign::StateAndSignals)?, &test, 7) {
            Err(error @ (Error::Dynamic(Dynamic::Shape { .. }) | Error::Dynamic(Dynamic::Range { .. }))) => {
                assert!(error.to_string().contains(wrong), "{name}: {error}");
            }
            other => panic!("{name}: {other:?}"),
        }
    }
    Ok(())
}

/// Decisions that keep a number of heads, with one head-set group of some samples.
#[derive(Debug, Clone)]
struct OwnHeads(fn(usize) -> Vec<usize>, usize);

impl Router for OwnHeads {
    fn reads(&self, _: usize, _: usize) -> bool {
        false
    }

    fn heads(&self, view: &GroupView<'_>, _: &mut Mode<'_>) -> dynamic::Result<Option<GroupDecisions>> {
        let heads = head_set(&(0..self.1).collect::<Vec<_>>(), HEADS);
        Ok(Some(GroupDecisions::new(vec![HeadSetGroup::new(self.0(view.members.len()), heads)])))
    }

    fn keeps_all(&self) -> bool {
        false
    }
}

impl Learner for OwnHeads {
    fn box_clone(&self) -> Box<dyn Learner> {
        Box::new(self.clone())
    }
}

#[test]
fn head_routers_that_lose_or_repeat_samples_are_rejected() -> Result<()> {
    let test = task(7, 2);
    let heads = |indices, count| -> Result<_> {
        Ok(with(Own(LAST, NOTHING), ContextDesign::State)?.with_head_router(Box::new(OwnHeads(indices, count))))
    };
    assert!(evaluate(&heads(|samples| (0..samples).collect(), 8)?, &test, 7)?.routes[0].to_string().contains("8H"));
    let field = |model: SearchModel| refused(evaluate(&model, &test, 7));
    assert_eq!(field(heads(|samples| (1..samples).collect(), 8)?), "head router's decisions");
    assert_eq!(field(heads(|samples| (0..samples).chain([0]).collect(), 8)?), "head router's decisions");
    assert_eq!(field(heads(|samples| (1..=samples).collect(), 8)?), "head router's decisions");
    assert_eq!(field(heads(|samples| (0..samples).collect(), 3)?), "heads kept");
    Ok(())
}

#[test]
fn in_an_integrated_space_a_router_takes_arms() -> Result<()> {
    let space = Preset::FDht.space(LAYERS, HEADS)?;
    assert_eq!(refused(taking_arms(&space, &[0, 10_000])), "arm");

    #[derive(Debug, Clone)]
    struct ByTurns(dht_search::SearchSpace);
    impl Router for ByTurns {
        fn reads(&self, _: usize, _: usize) -> bool {
            false
        }
        fn begin(
            &self,
            view: &ExitView<'_>,
            decisions: &mut Decisions,
            _last: usize,
            _: &mut Mode<'_>,
        ) -> dynamic::Result<()> {
            let arms = self.0.integrated_arms().len();
            let arms: Vec<usize> = (0..view.members.len()).map(|sample| sample % arms).collect();
            *decisions = taking_arms(&self.0, &arms)?;
            Ok(())
        }
    }
    impl Learner for ByTurns {
        fn box_clone(&self) -> Box<dyn Learner> {
            Box::new(self.clone())
        }
    }
    let settings = SearchSettings { warm_up_contexts: 16, ..SearchSettings::default() };
    let model = untrained(space.clone(), settings, CLASSES, 1)?;
    let arms = space.integrated_arms().to_vec();
    let mut search = SearchObjective::new(model.with_router(Box::new(ByTurns(space))))?;
    // A training run selects the pinned heads, which every head set contains.
    let (training, test) = (task(37, 1), task(30, 2));
    Trainer::new(train_settings()).fit(&mut search, &training, &test, &mut ())?;
    let evaluation = evaluate(search.model(), &test, 30)?;
    assert!(arms.iter().take(30).all(|arm| evaluation.routes.contains(arm)), "each arm has its turn");
    Ok(())
}

/// Router that sends all samples to the exit whose index is its speed.
#[derive(Debug, Clone)]
struct AtSpeed(f64);

impl Router for AtSpeed {
    fn reads(&self, _: usize, _: usize) -> bool {
        false
    }

    fn begin(
        &self,
        _: &ExitView<'_>,
        decisions: &mut Decisions,
        _last: usize,
        _: &mut Mode<'_>,
    ) -> dynamic::Result<()> {
        decisions.exits.fill(self.0 as usize);
        Ok(())
    }

    fn speed(&self) -> Option<f64> {
        Some(self.0)
    }
}

impl Learner for AtSpeed {
    fn set_speed(&mut self, speed: f64) -> Result<()> {
        self.0 = speed;
        Ok(())
    }

    fn box_clone(&self) -> Box<dyn Learner> {
        Box::new(self.clone())
    }
}

#[test]
fn a_model_with_a_router_of_its_own_is_loaded_with_it() -> Result<()> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (device, test) = (candle_core::Device::Cpu, task(20, 2));
    // The second of these models would be built with a router that has no state either.
    for (name, router) in
        [("bandit", RouterKind::Bandit), ("threshold", RouterKind::EntropyThreshold { threshold: 0.5 })]
    {
        let path = folder.path().join(name);
        let settings = SearchSettings { router, ..kinds()[0].1.clone() };
        let own = model(settings, 1)?.into_model().with_router(Box::new(AtSpeed(1.0)));
        own.save(&path, None, &test.labels)?;
        let own_router = OwnParts::new().with_routers(|model| model.with_router(Box::new(AtSpeed(1.0))));
        match SearchModel::load(&path, &device).map(drop) {
            Err(error @ Error::Dynamic(Dynamic::Model { field: "router", .. })) => {
                assert!(error.to_string().contains("load_with"))
            }
            other => panic!("{name}: {other:?}"),
        }
        let (loaded, ..) = SearchModel::load_with(&path, &device, own_router)?;
        assert_eq!(evaluate(&loaded, &test, 8)?.losses, evaluate(&own, &test, 8)?.losses);
    }
    Ok(())
}

/// Square of the share of layers.
#[derive(Debug)]
struct Squared;

impl RouteCost for Squared {
    fn share(&self, route: &Route, _tokens: usize) -> Result<f64> {
        Ok((route.depth() as f64 / route.model_shape().layers as f64).powi(2))
    }
}

#[derive(Debug)]
struct Broken(f64);

impl RouteCost for Broken {
    fn share(&self, _route: &Route, _tokens: usize) -> Result<f64> {
        Ok(self.0)
    }
}

#[test]
fn a_cost_of_its_own_decides_and_is_given_again_to_load() -> Result<()> {
    let (training, test) = (task(37, 1), task(20, 2));
    let with = |cost_model| SearchSettings { cost_model, ..kinds()[0].1.clone() };
    let of = |cost: f64| model(with(CostModel::Own(OwnCost::new("broken", Broken(cost)))), 1).map(drop);
    for cost in [f64::NAN, -0.1, f64::INFINITY] {
        assert!(
            matches!(of(cost), Err(Error::Dynamic(Dynamic::Argument { name: "share of an own cost", .. }))),
            "{cost}"
        );
    }
    let trained = |cost_model| -> Result<SearchModel> {
        let mut search = model(with(cost_model), 1)?;
        Trainer::new(train_settings()).fit(&mut search, &training, &test, &mut ())?;
        Ok(search.into_model())
    };
    let squared = || OwnCost::new("squared", Squared);
    let own = trained(CostModel::Own(squared()))?;
    let folder = tempfile::tempdir().expect("a temporary folder");
    own.save(folder.path().join("model"), None, &test.labels)?;
    let load = |parts| SearchModel::load_with(folder.path().join("model"), &candle_core::Device::Cpu, parts);
    let other = OwnCost::new("another", Squared);
    for parts in [OwnParts::new(), OwnParts::new().with_cost(other)] {
        let refused = load(parts).map(drop);
        assert!(matches!(refused, Err(Error::Dynamic(Dynamic::Argument { name: "own cost", .. }))), "{refused:?}");
    }
    let (loaded, ..) = load(OwnParts::new().with_cost(squared()))?;
    assert_eq!(evaluate(&loaded, &test, 8)?.losses, evaluate(&own, &test, 8)?.losses);
    Ok(())
}

#[test]
fn the_speed_of_a_model_is_that_of_its_own_router() -> Result<()> {
    let settings = SearchSettings { router: RouterKind::EntropyThreshold { threshold: 0.5 }, ..kinds()[0].1.clone() };
    let model = model(settings, 1)?.into_model();
    assert_eq!(model.speed(), Some(0.5));
    let own = model.clone().with_router(Box::new(AtSpeed(0.0)));
    assert_eq!((own.speed(), own.with_speed(2.0)?.speed()), (Some(0.0), Some(2.0)));
    let fixed = model.with_router(Box::new(Own(LAST, NOTHING)));
    assert_eq!((fixed.speed(), fixed.with_speed(1.0).is_err()), (None, true));
    Ok(())
}

#[test]
fn training_a_copied_model_leaves_the_model_as_it_is() -> Result<()> {
    let (training, test) = (task(37, 1), task(20, 2));
    for (name, settings) in kinds() {
        let mut search = model(settings, 1)?;
        Trainer::new(train_settings()).fit(&mut search, &training, &test, &mut ())?;
        let model = search.into_model();
        let answers = |model: &SearchModel| -> Result<_> {
            let evaluation = evaluate(model, &test, 8)?;
            Ok((evaluation.losses, evaluation.routes, model.encoder().parameters().values()?))
        };
        let before = answers(&model)?;
        let copy = model.deep_clone()?;
        assert!(answers(&copy)? == before, "{name}: a copy answers alike");
        let mut again = SearchObjective::new(copy)?;
        Trainer::new(train_settings()).fit(&mut again, &training, &test, &mut ())?;
        assert!(answers(again.model())?.2 != before.2 && answers(&model)? == before, "{name}");
    }
    Ok(())
}

/// Router that selects a sample's exit by its id, notes both, and counts the samples from which it learns.
#[derive(Debug, Clone, Default)]
struct Noting {
    learned: std::collections::BTreeMap<u64, u64>,
}

impl Router for Noting {
    fn reads(&self, _: usize, _: usize) -> bool {
        false
    }

    fn begin(
        &self,
        view: &ExitView<'_>,
        decisions: &mut Decisions,
        last: usize,
        _: &mut Mode<'_>,
    ) -> dynamic::Result<()> {
        *decisions = Decisions::leaving_at(view.ids().map(|id| id as usize % (last + 1)).collect());
        for (notes, id) in decisions.notes_mut().iter_mut().zip(view.ids()) {
            *notes = vec![id as f64];
        }
        Ok(())
    }

    fn state(&self) -> dynamic::Result<serde_json::Value> {
        Ok(serde_json::json!(self.learned))
    }
}

impl Learner for Noting {
    fn learn(&mut self, Trace { decisions, .. }: &Trace, losses: &Losses) -> Result<u64> {
        assert_eq!(decisions.notes.len(), decisions.exits.len());
        for (sample, (notes, exit)) in decisions.notes.iter().zip(&decisions.exits).enumerate() {
            assert_eq!(notes[0] as usize % 4, *exit, "the notes of another sample");
            assert!(losses.at(*exit, sample).is_some());
            *self.learned.entry(notes[0] as u64).or_default() += 1;
        }
        Ok(0)
    }

    fn restore(&mut self, state: serde_json::Value) -> Result<()> {
        self.learned = serde_json::from_value(state)?;
        Ok(())
    }

    fn box_clone(&self) -> Box<dyn Learner> {
        Box::new(self.clone())
    }
}

#[test]
fn notes_of_a_router_reach_its_learning_through_queues() -> Result<()> {
    let training = task(37, 1);
    for (name, settings) in kinds() {
        let own = model(settings, 1)?.into_model().with_router(Box::new(Noting::default()));
        let search = trained(SearchObjective::new(own)?, &training)?;
        let learned = search.model().router().state()?;
        let expected: std::collections::BTreeMap<u64, u64> = (0..37).map(|id| (id, 2)).collect();
        assert_eq!(learned, serde_json::json!(expected), "{name}");
        let folder = tempfile::tempdir().expect("a temporary folder");
        search.model().save(folder.path().join("model"), None, &training.labels)?;
        let own = OwnParts::new().with_routers(|model| model.with_router(Box::new(Noting::default())));
        let (loaded, ..) = SearchModel::load_with(folder.path().join("model"), &candle_core::Device::Cpu, own)?;
        assert_eq!(loaded.router().state()?, learned, "{name}");
    }
    Ok(())
}
