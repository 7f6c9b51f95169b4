//! Small trained models, and servers of them.

use std::sync::OnceLock;
use std::time::Duration;

use dht_cli::{Limits, Server, ServerSettings};
use dht_dynamic::accelerate::{AccelerateSettings, Texts, accelerate};
use dht_dynamic::serving::ServiceSettings;
use dht_dynamic::transformer::TextTokenizer;
use dht_dynamic::{DynamicModel, Engine, Result};
use dht_toys::{reviews, rng};

pub use dht_toys::reviews::{labels, words as texts};

fn trained() -> Result<(DynamicModel, TextTokenizer)> {
    let (rng, train, held_out) = (&mut rng(2), reviews::data(300, 1), reviews::data(120, 2));
    let classifier = reviews::full_model(&train, &held_out, 2, rng);
    let texts = Texts::new(&train).with_held_out(&held_out);
    let made = accelerate(&classifier, texts, &AccelerateSettings::default(), rng)?;
    // Exit 0 alone solves the task: at the default speed every text would stop there.
    let point = made.report.within(0.5).expect("a speed of this cost");
    Ok((made.model.with_speed(point.speed)?, reviews::tokenizer().with_model_max_length(128)))
}

/// Accelerated classifier and tokenizer: some texts stop before the first layer, others at later exits.
pub fn parts() -> &'static (DynamicModel, TextTokenizer) {
    static PARTS: OnceLock<(DynamicModel, TextTokenizer)> = OnceLock::new();
    PARTS.get_or_init(|| trained().expect("a model"))
}

pub fn engine() -> Result<Engine> {
    let (model, tokenizer) = parts();
    Engine::new(model.clone(), tokenizer.clone(), &labels())
}

/// Settings with any free port, no log, and enough time for a busy machine.
pub fn settings() -> ServerSettings {
    ServerSettings {
        address: ([127, 0, 0, 1], 0).into(),
        name: "reviews".into(),
        log: false,
        limits: Limits { deadline: Duration::from_secs(60), ..Limits::default() },
        ..ServerSettings::default()
    }
}

pub fn server() -> Server {
    Server::start(engine, settings()).expect("a server")
}

/// Starts a server whose texts wait for others until the server stops, so that waiting texts can be counted.
pub fn patient(change: impl FnOnce(&mut ServerSettings)) -> Server {
    let service =
        ServiceSettings { batch_tokens: 1 << 17, max_wait: Duration::from_secs(60), ..ServiceSettings::default() };
    let mut settings = ServerSettings { service, ..settings() };
    change(&mut settings);
    // At speed 0 no text stops at exit 0, where it would not wait.
    Server::start(|| engine()?.with_speed(0.0), settings).expect("a server")
}
