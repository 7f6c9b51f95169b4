//! Custom exits and a custom router: they are saved, loaded and served, and their errors fail only their own request.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use candle_core::{Device, Tensor};
use dht_dynamic::exit::{ExitFlops, ExitPlace};
use dht_dynamic::router::{ExitRule, ExitView, LeavingRule, Notes};
use dht_dynamic::transformer::flops::BackwardNeeds;
use dht_dynamic::transformer::model::Linear;
use dht_dynamic::transformer::{Encoder, ErrorKind, ForwardContext, Hidden};
use dht_dynamic::{DynamicModel, Error, ExitModel, LayerExit, OwnParts, Result};
use dht_dynamic::{
    Engine,
    serving::{Request, Service, ServiceSettings, TextModel},
};
use dht_toys::{refused, reviews, rng};
use serde_json::{Value, json};

/// Linear classifier on the first token's state and the mean of all states.
#[derive(Debug, Clone)]
struct FirstAndMean(Linear);

impl FirstAndMean {
    fn build(encoder: &mut Encoder, place: ExitPlace<'_>) -> Result<Box<dyn LayerExit>> {
        Ok(Box::new(Self::named(encoder, format!("{}.linear", place.name), place)?))
    }

    fn named(encoder: &mut Encoder, name: String, place: ExitPlace<'_>) -> Result<Self> {
        let inputs = 2 * encoder.config().hidden_size;
        Ok(Self(encoder.add_linear(&name, inputs, place.classes, &mut rng(place.depth as u64))?))
    }
}

impl LayerExit for FirstAndMean {
    fn logits(&self, hidden: &Hidden, ctx: &ForwardContext) -> Result<Tensor> {
        Ok(self.0.forward(&Tensor::cat(&[hidden.first_rows()?, hidden.mean_rows()?], 1)?, ctx)?)
    }

    fn flops(&self, _tokens: usize) -> ExitFlops {
        let shape = self.0.shape();
        ExitFlops {
            forward: shape.forward(1).total(),
            backward: shape.backward(1, BackwardNeeds::ALL).total(),
            backward_weights: shape.backward(1, BackwardNeeds::WEIGHTS_ONLY).total(),
        }
    }

    fn box_clone(&self) -> Box<dyn LayerExit> {
        Box::new(self.clone())
    }
}

/// Router that stops a text at the second consecutive exit with the same class, but never a text with an odd number of
/// tokens.
#[derive(Debug)]
struct SameTwice;

impl ExitRule for SameTwice {
    fn reads(&self, exit: usize, last: usize) -> bool {
        exit < last
    }

    fn leaves(&self, view: &ExitView<'_>, notes: &mut [Notes]) -> Result<Vec<bool>> {
        assert_eq!((view.ids().len(), view.lengths().len()), (view.members.len(), view.members.len()));
        assert!(view.tokens().map(<[u32]>::len).eq(view.lengths()));
        let classes = view.needed_answers()?.labels();
        let texts = view.members.iter().zip(classes).zip(view.lengths());
        Ok(texts
            .map(|((member, class), tokens)| {
                let before = std::mem::replace(&mut notes[*member], vec![f64::from(class)]);
                before == [f64::from(class)] && tokens % 2 == 0
            })
            .collect())
    }

    fn state(&self) -> Result<Value> {
        Ok(json!("same twice"))
    }
}

fn model() -> Result<DynamicModel> {
    let parts = ExitModel::with_exits(reviews::encoder(&mut rng(1)), vec![1, 2, 3, 4], 2, FirstAndMean::build)?;
    Ok(DynamicModel::new(parts, LeavingRule::Confidence)?.with_router(Box::new(SameTwice)))
}

fn engine(model: DynamicModel) -> Result<Engine> {
    Engine::new(model, reviews::tokenizer(), &reviews::labels())
}

#[test]
fn own_exits_and_router_are_saved_loaded_and_served() -> Result<()> {
    let texts = reviews::words(60, 3);
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let expected = engine(model()?)?.predict(&texts)?;
    let depths: std::collections::BTreeSet<usize> = expected.iter().map(|answer| answer.route.depth()).collect();
    assert!(depths.len() > 1 && !depths.contains(&1), "{depths:?}");

    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("model");
    TextModel::new(model()?, reviews::tokenizer(), &reviews::labels(), 16)?.save(&path, "a card")?;
    let exits = || OwnParts::new().with_exits(FirstAndMean::build);
    let router = |own: OwnParts<'static>| {
        own.with_router(
            |state| if state == "same twice" { Ok(Box::new(SameTwice)) } else { Err(Error::custom("another")) },
        )
    };
    for (own, missing) in [(OwnParts::new(), "exits"), (exits(), "router")] {
        match TextModel::load_with(&path, &Device::Cpu, own).map(drop) {
            Err(Error::Model { field, .. }) => assert_eq!(field, missing),
            other => panic!("without {missing}: {other:?}"),
        }
    }
    let loaded = TextModel::load_with(&path, &Device::Cpu, router(exits()))?;
    let service = Service::start(Engine::from_model(loaded), ServiceSettings::default())?;
    let answers = service.predict(&Request::new(texts))?;
    let bits = |answers: &[dht_dynamic::Answer]| -> Vec<Vec<u32>> {
        answers.iter().map(|answer| answer.probabilities.iter().map(|p| p.to_bits()).collect()).collect()
    };
    assert_eq!(bits(&answers), bits(&expected));
    assert!(answers.iter().zip(&expected).all(|(own, other)| own.route == other.route && own.flops == other.flops));
    Ok(())
}

#[test]
fn a_copy_of_own_exits_has_weights_of_its_own() -> Result<()> {
    let (model, test) = (model()?, reviews::data(20, 4));
    let copy = model.deep_clone()?;
    let losses = |model: &DynamicModel| -> Result<Vec<f64>> { Ok(dht_dynamic::evaluate(model, &test, 8)?.losses) };
    let before = losses(&model)?;
    assert_eq!(losses(&copy)?, before);
    let mut values = copy.encoder().parameters().values()?;
    values.values_mut().for_each(|tensor| tensor.values.iter_mut().for_each(|value| *value *= 0.5));
    copy.encoder().parameters().set_values(values)?;
    assert_ne!(losses(&copy)?, before);
    assert_eq!(losses(&model)?, before);
    Ok(())
}

#[test]
fn exits_that_could_not_be_saved_are_refused() {
    let made = |depths: &[usize], classes, build: fn(&mut Encoder, ExitPlace<'_>) -> Result<Box<dyn LayerExit>>| {
        ExitModel::with_exits(reviews::encoder(&mut rng(1)), depths.to_vec(), classes, build).map(drop)
    };
    assert!(made(&[1, 4], 2, FirstAndMean::build).is_ok());
    assert!(matches!(made(&[2, 1, 4], 2, FirstAndMean::build), Err(Error::Exit { index: 1, .. })));
    assert!(matches!(made(&[1, 2], 2, FirstAndMean::build), Err(Error::Argument { name: "exits", .. })));
    assert_eq!(refused(made(&[1, 4], 1, FirstAndMean::build)), "classes");
    let elsewhere = made(&[1, 4], 2, |encoder, place| {
        Ok(Box::new(FirstAndMean::named(encoder, format!("mine.{}", place.depth), place)?))
    });
    assert!(matches!(elsewhere, Err(Error::Argument { name: "exit's parameter", .. })), "{elsewhere:?}");
    let failing = made(&[1, 4], 2, |_, _| Err(Error::custom("no exit today")));
    assert!(failing.is_err_and(|error| error.kind() == ErrorKind::Custom && error.to_string() == "no exit today"));
}

/// An exit that goes wrong in the way that the number says.
#[derive(Debug, Clone)]
struct Faulty(FirstAndMean, Arc<AtomicUsize>);

impl LayerExit for Faulty {
    fn logits(&self, hidden: &Hidden, ctx: &ForwardContext) -> Result<Tensor> {
        let logits = self.0.logits(hidden, ctx)?;
        match self.1.load(Ordering::Relaxed) {
            0 => Ok(logits),
            1 => Err(Error::custom("the exit is closed")),
            2 => Ok(Tensor::cat(&[&logits, &logits], 1)?),
            3 => Ok(Tensor::cat(&[&logits, &logits], 0)?),
            4 => Ok((logits * f64::NAN)?),
            5 => Ok(logits.flatten_all()?),
            _ => panic!("the exit broke down"),
        }
    }

    fn flops(&self, tokens: usize) -> ExitFlops {
        self.0.flops(tokens)
    }

    fn box_clone(&self) -> Box<dyn LayerExit> {
        Box::new(self.clone())
    }
}

#[test]
fn a_fault_of_an_own_exit_ends_its_request_and_not_the_service() -> Result<()> {
    let fault = Arc::new(AtomicUsize::new(0));
    let shared = fault.clone();
    let build = move |encoder: &mut Encoder, place: ExitPlace<'_>| -> Result<Box<dyn LayerExit>> {
        let exit = FirstAndMean::named(encoder, format!("{}.linear", place.name), place)?;
        Ok(Box::new(Faulty(exit, shared.clone())))
    };
    let parts = ExitModel::with_exits(reviews::encoder(&mut rng(1)), vec![2, 4], 2, build)?;
    let engine = engine(DynamicModel::new(parts, LeavingRule::Confidence)?.with_speed(0.1)?)?;
    let service = Service::start(engine, ServiceSettings::default())?;
    let texts = reviews::words(9, 5);
    let ask = || service.predict(&Request::new(texts.iter().map(String::as_str)));
    let right = ask()?;
    for (way, kind) in [
        (1, ErrorKind::Custom),
        (2, ErrorKind::Shape),
        (3, ErrorKind::Shape),
        (4, ErrorKind::State),
        (5, ErrorKind::Shape),
        (6, ErrorKind::Custom),
    ] {
        fault.store(way, Ordering::Relaxed);
        let failed = ask().expect_err("a fault");
        assert_eq!(failed.kind(), kind, "fault {way}: {failed}");
        fault.store(0, Ordering::Relaxed);
        assert_eq!(ask()?, right, "after fault {way}");
    }
    Ok(())
}
