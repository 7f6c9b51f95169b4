//! Small trained models for the tests: accelerated classifiers with and without an exit before the first layer.

use std::sync::OnceLock;

use dht_dynamic::Result;
use dht_dynamic::accelerate::{AccelerateSettings, Texts, accelerate};
use dht_dynamic::{
    Engine,
    serving::{Service, ServiceSettings},
};
use dht_toys::{reviews, rng};

fn accelerated_engine(settings: &AccelerateSettings) -> Result<Engine> {
    let (rng, train, held_out) = (&mut rng(2), reviews::data(300, 1), reviews::data(120, 2));
    let classifier = reviews::full_model(&train, &held_out, 2, rng);
    let texts = Texts::new(&train).with_held_out(&held_out);
    let tokenizer = reviews::tokenizer().with_model_max_length(128);
    let made = accelerate(&classifier, texts, settings, rng)?;
    // At half of the cost, the n-gram exit answers some texts, and others run all layers.
    let half = made.report.within(0.5).map_or(0.0, |point| point.speed);
    Engine::new(made.model.with_speed(half)?, tokenizer, &reviews::labels())
}

/// Engine of an accelerated classifier without an n-gram exit, with a threshold, so that all texts run layers.
pub fn without_front() -> Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    let settings = AccelerateSettings { ngram: None, ..AccelerateSettings::default() };
    let engine = || accelerated_engine(&settings)?.with_speed(0.1);
    ENGINE.get_or_init(|| engine().expect("an engine")).clone()
}

/// Engine of an accelerated classifier with an n-gram exit, stacked exits and a threshold.
pub fn accelerated() -> Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    ENGINE.get_or_init(|| accelerated_engine(&AccelerateSettings::default()).expect("an engine")).clone()
}

/// Service that runs the waiting texts after `wait`, or as soon as `batch_tokens` tokens wait.
pub fn service(engine: Engine, batch_tokens: usize, wait: std::time::Duration) -> Result<Service> {
    Service::start(engine, ServiceSettings { batch_tokens, max_wait: wait, ..ServiceSettings::default() })
}
