//! Tests of controls (evaluations on routes that the router did not select): a control runs the heads that the model
//! selects, and its cost is the cost of the layers and heads that it runs.

use dht_dynamic::Error as Dynamic;
use dht_dynamic::router::{Decisions, ExitView, GroupDecisions, GroupView, HeadSetGroup, Mode};
use dht_dynamic::{Evaluation, Router};
use dht_transformer::HeadSet;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::tests::{AnyHeads, CLASSES, LAYERS, evaluate, model, model_of, texts};
use crate::error::{Error, Result};
use crate::evaluation::controls::choices_of;
use crate::evaluation::on_routes::evaluate_choices;
use crate::evaluation::regret::{FixedArms, Regret};
use crate::evaluation::{evaluate_on, evaluate_shuffled};
use crate::routing::{Learner, taking_arms};
use crate::settings::SearchSettings;
use crate::space::{Preset, SearchSpace};

/// Router that derives the exit and the heads of a text from the text's id.
#[derive(Debug, Clone)]
struct ById;

impl ById {
    /// Set of `count` neighbouring heads. The text's id determines the first head.
    fn set(id: u64, count: usize) -> Result<HeadSet> {
        Ok(HeadSet::from_indices((0..count).map(|head| (head + id as usize) % 12), 12)?)
    }
}

impl Router for ById {
    fn reads(&self, exit: usize, _: usize) -> bool {
        exit == 1
    }

    fn begin(
        &self,
        view: &ExitView<'_>,
        decisions: &mut Decisions,
        last: usize,
        _: &mut Mode<'_>,
    ) -> dht_dynamic::Result<()> {
        decisions.exits = view.ids().map(|id| id as usize % (last + 1)).collect();
        Ok(())
    }

    fn heads(&self, view: &GroupView<'_>, _: &mut Mode<'_>) -> dht_dynamic::Result<Option<GroupDecisions>> {
        let ids = view.hidden.packing().sample_ids().iter().enumerate();
        let set = |(index, id): (usize, &u64)| {
            let count = [8, 10][(*id as usize + view.group) % 2];
            Ok(HeadSetGroup::new(vec![index], ById::set(*id, count)?))
        };
        Ok(Some(GroupDecisions::new(ids.map(set).collect::<Result<_>>()?)))
    }

    fn keeps_all(&self) -> bool {
        false
    }

    fn flops(&self, exit: usize) -> u64 {
        10 + exit as u64
    }

    fn group_flops(&self) -> u64 {
        3
    }
}

impl Learner for ById {
    fn box_clone(&self) -> Box<dyn Learner> {
        Box::new(self.clone())
    }
}

/// Pairs of route and head sets for all texts of an evaluation, sorted. Repeated pairs are kept.
fn multiset(evaluation: &Evaluation) -> Vec<(String, Vec<HeadSet>)> {
    let routes = evaluation.routes.iter().map(ToString::to_string);
    let mut pairs: Vec<_> = routes.zip(evaluation.head_sets.iter().cloned()).collect();
    pairs.sort();
    pairs
}

#[test]
fn the_shuffled_control_permutes_routes_with_their_heads() {
    let model = model(SearchSettings::default()).with_router(Box::new(ById)).with_head_router(Box::new(ById));
    // Of one length, so that a route costs every text the same.
    let mut data = texts(40);
    for sample in &mut data.samples {
        sample.encoding.ids.resize(6, 7);
        sample.encoding.type_ids.resize(6, 0);
    }
    let chosen = evaluate(&model, &data, 7).unwrap();
    for (row, head_sets) in chosen.head_sets.iter().enumerate() {
        let counts = chosen.routes[row].dynamic_groups().map(|group| group.heads);
        let expected: Vec<HeadSet> = counts.map(|count| ById::set(row as u64, count).unwrap()).collect();
        assert_eq!(*head_sets, expected, "row {row}");
    }
    let far =
        |a: &Evaluation, b: &Evaluation| a.losses.iter().zip(&b.losses).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    // Routes that are assigned to their own rows give the same predictions; other heads on the same routes do not.
    let again = evaluate_choices(&model, &data, choices_of(&chosen), 7).unwrap();
    assert!(far(&again, &chosen) < 1e-5);
    let others = model.clone().with_head_router(Box::new(AnyHeads));
    assert!(far(&evaluate_on(&others, &data, &chosen.routes, 7).unwrap(), &chosen) > 0.01, "heads must matter");

    let shuffled = evaluate_shuffled(&model, &data, &chosen, 7, &mut ChaCha8Rng::seed_from_u64(1)).unwrap();
    assert_eq!(multiset(&shuffled), multiset(&chosen));
    assert_ne!((shuffled.routes, shuffled.head_sets), (chosen.routes.clone(), chosen.head_sets.clone()));
    assert_eq!((shuffled.flops, shuffled.routing_flops), (chosen.flops, chosen.routing_flops));
    assert_eq!(chosen.row_flops.iter().sum::<u64>(), chosen.flops + chosen.routing_flops);
    // A head router that selects the number of heads itself has no sets of other sizes.
    let narrow = model.space().routes().into_iter().find(|(_, route)| route.to_string() == "2L12H").unwrap().1;
    let refused = evaluate_on(&model, &data, &vec![narrow; 40], 7);
    assert!(matches!(refused, Err(Error::Dynamic(Dynamic::Shape { what: "heads kept", .. }))), "{refused:?}");
}

/// Router that sends every text to the first arm of the search space and keeps the first heads.
#[derive(Debug, Clone)]
struct FirstArm(SearchSpace);

impl Router for FirstArm {
    fn reads(&self, _: usize, _: usize) -> bool {
        false
    }

    fn begin(
        &self,
        view: &ExitView<'_>,
        decisions: &mut Decisions,
        _last: usize,
        _: &mut Mode<'_>,
    ) -> dht_dynamic::Result<()> {
        *decisions = taking_arms(&self.0, &vec![0; view.members.len()])?;
        Ok(())
    }

    fn heads(&self, view: &GroupView<'_>, mode: &mut Mode<'_>) -> dht_dynamic::Result<Option<GroupDecisions>> {
        let heads = self.0.integrated_arms()[0].uniform_heads().unwrap_or(12);
        let kept = vec![heads; view.members.len()];
        Ok(Some(GroupDecisions::new(self.sets_keeping(view, &kept, mode)?)))
    }

    fn keeps_all(&self) -> bool {
        false
    }

    fn flops(&self, _: usize) -> u64 {
        1_000
    }
}

impl Learner for FirstArm {
    fn sets_keeping(&self, _: &GroupView<'_>, kept: &[usize], _: &mut Mode<'_>) -> Result<Vec<HeadSetGroup>> {
        let one = |(index, count): (usize, &usize)| Ok(HeadSetGroup::new(vec![index], HeadSet::full(*count)?));
        kept.iter().enumerate().map(one).collect()
    }

    fn box_clone(&self) -> Box<dyn Learner> {
        Box::new(self.clone())
    }
}

#[test]
fn regret_against_the_same_fixed_arm_is_prepass_and_router_cost() {
    let model = model_of(Preset::PDht, SearchSettings::for_preset(Preset::PDht));
    let first = FirstArm(model.space().clone());
    let model = model.with_router(Box::new(first.clone())).with_head_router(Box::new(first));
    let mut data = texts(10);
    let tokens = 5;
    for sample in &mut data.samples {
        sample.encoding.ids.resize(tokens, 7);
        sample.encoding.type_ids.resize(tokens, 0);
    }
    let (evaluation, fixed) = (evaluate(&model, &data, 4).unwrap(), FixedArms::new(&model, &data, 4).unwrap());
    let regret = Regret::new(&model, &data, &evaluation, &fixed).unwrap();
    // By hand: four projections to or from heads of 2 columns, scores and values, and a feed-forward of 96.
    let layer = |heads: usize| {
        let kept = 2 * heads;
        2 * tokens * (4 * 24 * kept + 2 * 24 * 96) + 2 * 2 * tokens * tokens * kept
    };
    let classifier = 2 * 24 * CLASSES;
    let (base, full) = (model.space().base_layers() * layer(12), LAYERS * layer(12) + classifier);
    assert!(base > 0, "P-DHT has a pre-pass");
    let arm = &model.space().integrated_arms()[0];
    let route: usize = arm.layers().map(|(_, heads)| layer(heads)).sum::<usize>() + classifier;
    assert_eq!(evaluation.row_flops, vec![(base + route + 1_000) as u64; 10]);
    assert_eq!(fixed.arms()[0].1.row_flops, vec![route as u64; 10]);
    let loss = evaluation.losses.iter().sum::<f64>() / 10.0;
    let price = |flops: usize| loss + model.lambda().unwrap() * flops as f64 / full as f64;
    let close = |a: f64, b: f64| (a - b).abs() < 1e-6;
    assert!(close(regret.chosen, price(base + route + 1_000)), "{regret:?}");
    assert!(close(regret.fixed[&arm.to_string()], price(route)), "{regret:?}");
    assert!(close(Regret::new(&model, &data, &fixed.arms()[0].1, &fixed).unwrap().chosen, price(route)));
}
