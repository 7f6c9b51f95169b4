//! Tests of a program's own exit, router with memory and cost: saved, loaded, and used over HTTP.

use candle_core::{Device, Tensor};
use dht_cli::Server;
use dht_dynamic::exit::{ExitFlops, ExitPlace};
use dht_dynamic::passage::Trace;
use dht_dynamic::router::{Decisions, ExitRule, ExitView, LeavingRule, Mode, Notes};
use dht_dynamic::serving::TextModel;
use dht_dynamic::transformer::flops::{BackwardNeeds, FlopCount};
use dht_dynamic::transformer::model::Linear;
use dht_dynamic::transformer::{Encoder, ForwardContext, Hidden};
use dht_dynamic::{Answer, DynamicModel, Engine, ExitModel, LayerExit, Router};
use dht_search::cost::{OwnCost, RouteCost};
use dht_search::routing::Losses;
use dht_search::{CostModel, Learner, Preset, Route, SearchModel, SearchObjective, SearchSettings};
use dht_toys::{reviews, rng};
use serde_json::{Value, json};

use super::client::post;
use super::model::settings;

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// Requests answers to texts from a server, and compares them with the engine's.
fn answered_over_http(load: impl Fn() -> dht_dynamic::Result<Engine> + Send + Sync + 'static) -> Outcome {
    let (texts, engine) = (reviews::words(20, 3), load()?);
    let expected: Vec<Answer> =
        texts.iter().map(|text| Ok(engine.predict(&[text.as_str()])?.remove(0))).collect::<dht_dynamic::Result<_>>()?;
    let server = Server::start(load, settings())?;
    let response = post(server.address(), "/v1/classify", json!({ "texts": texts })).json();
    // A number in single precision is written with its own shortest digits.
    let expected: Value = serde_json::from_str(&serde_json::to_string(&expected)?)?;
    assert_eq!(response["answers"], expected);
    Ok(())
}

/// Linear exit on the state of the first token.
#[derive(Debug, Clone)]
struct First(Linear);

impl First {
    fn build(encoder: &mut Encoder, place: ExitPlace<'_>) -> dht_dynamic::Result<Box<dyn LayerExit>> {
        let (name, hidden) = (format!("{}.first", place.name), encoder.config().hidden_size);
        Ok(Box::new(Self(encoder.add_linear(&name, hidden, place.classes, &mut rng(5))?)))
    }
}

impl LayerExit for First {
    fn logits(&self, hidden: &Hidden, ctx: &ForwardContext) -> dht_dynamic::Result<Tensor> {
        Ok(self.0.forward(&hidden.first_rows()?, ctx)?)
    }

    fn flops(&self, _: usize) -> ExitFlops {
        let (shape, weights) = (self.0.shape(), BackwardNeeds::WEIGHTS_ONLY);
        let of = |needs| -> FlopCount { shape.backward(1, needs).total() };
        ExitFlops { forward: shape.forward(1).total(), backward: of(BackwardNeeds::ALL), backward_weights: of(weights) }
    }

    fn box_clone(&self) -> Box<dyn LayerExit> {
        Box::new(self.clone())
    }
}

/// Rule by which a text stops at the second consecutive exit with the same class.
#[derive(Debug)]
struct SameTwice;

impl ExitRule for SameTwice {
    fn reads(&self, exit: usize, last: usize) -> bool {
        exit < last
    }

    fn leaves(&self, view: &ExitView<'_>, notes: &mut [Notes]) -> dht_dynamic::Result<Vec<bool>> {
        let texts = view.members.iter().zip(view.needed_answers()?.labels());
        let same = |(member, class): (&usize, u32)| {
            let class = vec![f64::from(class)];
            std::mem::replace(&mut notes[*member], class.clone()) == class
        };
        Ok(texts.map(same).collect())
    }

    fn state(&self) -> dht_dynamic::Result<Value> {
        Ok(json!("same twice"))
    }
}

#[test]
fn an_own_exit_and_an_own_router_answer_over_http() -> Outcome {
    let parts = ExitModel::with_exits(reviews::encoder(&mut rng(1)), vec![1, 2, 3, 4], 2, First::build)?;
    let model = DynamicModel::new(parts, LeavingRule::Confidence)?.with_router(Box::new(SameTwice));
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("model");
    TextModel::new(model, reviews::tokenizer(), &reviews::labels(), 16)?.save(&path, "a card")?;
    let load = move || {
        let own = dht_dynamic::OwnParts::new().with_exits(First::build).with_router(|_| Ok(Box::new(SameTwice)));
        Ok(Engine::from_model(TextModel::load_with(&path, &Device::Cpu, own)?))
    };
    answered_over_http(load)
}

/// Router that sends a text to the exit with the lowest sum of loss and price, by the text's number of tokens. It
/// learns the mean losses.
#[derive(Debug, Clone, Default)]
struct ByLength {
    /// Σ loss and number of losses, by tokens and exit.
    losses: std::collections::BTreeMap<String, (f64, f64)>,
}

impl ByLength {
    fn mean(&self, tokens: usize, exit: usize) -> f64 {
        self.losses.get(&format!("{tokens} {exit}")).map_or(0.0, |(sum, count)| sum / count)
    }
}

impl Router for ByLength {
    fn reads(&self, _: usize, _: usize) -> bool {
        false
    }

    fn begin(
        &self,
        view: &ExitView<'_>,
        decisions: &mut Decisions,
        last: usize,
        _: &mut Mode<'_>,
    ) -> dht_dynamic::Result<()> {
        let value = |tokens, exit| self.mean(tokens, exit) + 0.01 * exit as f64;
        let best = |tokens| (0..=last).min_by(|a, b| value(tokens, *a).total_cmp(&value(tokens, *b))).unwrap_or(last);
        *decisions = Decisions::leaving_at(view.lengths().map(best).collect());
        for (notes, tokens) in decisions.notes_mut().iter_mut().zip(view.lengths()) {
            *notes = vec![tokens as f64];
        }
        Ok(())
    }

    fn state(&self) -> dht_dynamic::Result<Value> {
        Ok(json!(self.losses))
    }
}

impl Learner for ByLength {
    fn learn(&mut self, Trace { decisions, .. }: &Trace, losses: &Losses) -> dht_search::Result<u64> {
        for (sample, (notes, exit)) in decisions.notes.iter().zip(&decisions.exits).enumerate() {
            let entry = self.losses.entry(format!("{} {exit}", notes[0])).or_default();
            *entry = (entry.0 + losses.at(*exit, sample).unwrap_or_default(), entry.1 + 1.0);
        }
        Ok(0)
    }

    fn restore(&mut self, state: Value) -> dht_search::Result<()> {
        self.losses = serde_json::from_value(state)?;
        Ok(())
    }

    fn box_clone(&self) -> Box<dyn Learner> {
        Box::new(self.clone())
    }
}

/// Cost that is the square of the share of layers.
#[derive(Debug)]
struct Squared;

impl RouteCost for Squared {
    fn share(&self, route: &Route, _: usize) -> dht_search::Result<f64> {
        Ok((route.depth() as f64 / route.model_shape().layers as f64).powi(2))
    }
}

#[test]
fn a_router_with_memory_and_an_own_cost_answer_over_http() -> Outcome {
    let squared = || OwnCost::new("squared", Squared);
    let settings = SearchSettings { cost_model: CostModel::Own(squared()), ..SearchSettings::default() };
    let space = Preset::TDht.space(4, 6)?;
    let model = SearchModel::new(reviews::encoder(&mut rng(1)), space, settings, 2, &mut rng(2))?;
    let mut search = SearchObjective::new(model.with_router(Box::new(ByLength::default())))?;
    reviews::trainer(1).fit(&mut search, &reviews::data(120, 1), None, &mut ())?;
    let model = search.into_model();
    let learned = model.router().state()?;
    assert!(learned.as_object().is_some_and(|losses| losses.len() > 4), "{learned}");
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("model");
    model.save(&path, Some(&reviews::tokenizer()), &reviews::labels())?;
    let load = move || {
        let own = dht_search::OwnParts::new().with_cost(squared());
        let own = own.with_routers(|model| model.with_router(Box::new(ByLength::default())));
        let (model, labels, tokenizer) = SearchModel::load_with(&path, &Device::Cpu, own)?;
        assert_eq!(model.router().state()?, learned);
        Engine::new(model, tokenizer.expect("saved with it"), &labels)
    };
    answered_over_http(load)
}
