//! State of the server that all requests share.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use dht_dynamic::{
    Answer, Engine,
    serving::{Request, Service, Ticket},
};
use sha2::{Digest, Sha256};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::admission::Admission;
use super::connections::Port;
use super::log::Log;
use super::metrics::Metrics;
use super::refusal::Refusal;
use super::settings::ServerSettings;
use crate::error::Error;

/// Function that loads the model, at the start and at each reload.
pub(super) type Loader = Box<dyn Fn() -> Result<LoadedModel, Error> + Send + Sync>;

/// Model to serve: loaded from a directory, or built in the process.
///
/// # Examples
/// ```
/// use dht_cli::LoadedModel;
/// use dht_dynamic::Engine;
/// use dht_dynamic::transformer::{Pooling, TextClassifier};
/// use dht_toys::{reviews, rng};
///
/// let mut rng = rng(1);
/// let classifier = TextClassifier::new(reviews::encoder(&mut rng), 2, Pooling::Mean, &mut rng)?;
/// let engine = Engine::new(classifier, reviews::tokenizer(), &reviews::labels())?;
/// // A model that was made in the process has no files and no checksum.
/// assert!(LoadedModel::from(engine).sha256.is_none());
/// # Ok::<(), dht_dynamic::Error>(())
/// ```
#[derive(Debug)]
pub struct LoadedModel {
    /// Engine that answers texts.
    pub engine: Engine,
    /// SHA-256 of the directory's `dht.json`, which has the checksums of all its files; `None` for a model without a
    /// directory.
    pub sha256: Option<String>,
}

impl From<Engine> for LoadedModel {
    fn from(engine: Engine) -> Self {
        Self { engine, sha256: None }
    }
}

/// Identity of the served model: its checksum and the time at which it was loaded.
#[derive(Debug, Clone)]
pub(super) struct ModelVersion {
    pub(super) sha256: Option<String>,
    pub(super) loaded: SystemTime,
}

impl ModelVersion {
    pub(super) fn now(sha256: Option<String>) -> Self {
        Self { sha256, loaded: SystemTime::now() }
    }

    /// Time at which the model was loaded, in seconds since 1970.
    pub(super) fn loaded_seconds(&self) -> f64 {
        let since = self.loaded.duration_since(SystemTime::UNIX_EPOCH);
        since.map_or(0.0, |since| (since.as_secs_f64() * 1e3).round() / 1e3)
    }
}

/// State of the server that all requests share.
pub(super) struct App {
    pub(super) service: Arc<Service>,
    pub(super) settings: ServerSettings,
    pub(super) load: Loader,
    pub(super) log: Arc<Log>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) port: Arc<Port>,
    pub(super) started: Instant,
    /// True if the server is draining, which means that a load balancer should send no more requests.
    pub(super) draining: AtomicBool,
    /// True if the server should stop.
    pub(super) stopping: watch::Receiver<bool>,
    /// Admission control, which limits the estimated number of tokens in progress.
    pub(super) admission: Arc<Admission>,
    /// Semaphore with a permit for each additional request that may be processed.
    requests: Arc<Semaphore>,
    /// Semaphore with a permit for each additional byte of request bodies that may be read.
    pub(super) body_bytes: Arc<Semaphore>,
    pub(super) version: Mutex<ModelVersion>,
    /// Largest number of layers of any model loaded so far.
    pub(super) most_layers: AtomicU64,
    /// Lock that is held while a model is being loaded.
    pub(super) reloading: Arc<tokio::sync::Mutex<()>>,
    /// Semaphore for reload requests, of which one may run and one may wait.
    pub(super) reload_requests: Arc<Semaphore>,
    token: Option<[u8; 32]>,
}

impl App {
    pub(super) fn new(
        service: Arc<Service>,
        version: ModelVersion,
        load: Loader,
        settings: ServerSettings,
        port: Arc<Port>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let token = settings.token.as_ref().map(|token| Sha256::digest(token.as_bytes()).into());
        Self {
            service,
            load,
            log: port.log.clone(),
            metrics,
            started: Instant::now(),
            draining: AtomicBool::new(false),
            stopping: port.stopping.clone(),
            port,
            admission: Arc::default(),
            requests: Arc::new(Semaphore::new(settings.limits.requests)),
            // A body of the largest size fits if there is no other.
            body_bytes: Arc::new(Semaphore::new(settings.limits.all_body_bytes.max(settings.limits.body_bytes))),
            version: Mutex::new(version),
            most_layers: AtomicU64::new(0),
            reloading: Arc::default(),
            reload_requests: Arc::new(Semaphore::new(2)),
            token,
            settings,
        }
    }

    /// Returns whether `candidate` is the required bearer token. All bytes of both digests are compared, so that the
    /// duration does not reveal the token.
    pub(super) fn is_token(&self, candidate: &str) -> bool {
        let Some(own) = self.token else { return false };
        let candidate: [u8; 32] = Sha256::digest(candidate.as_bytes()).into();
        std::hint::black_box(
            own.iter().zip(candidate).fold(0, |differences, (own, candidate)| differences | (own ^ candidate)),
        ) == 0
    }

    /// Returns whether the server is draining or stopping.
    pub(super) fn is_ending(&self) -> bool {
        self.draining.load(Ordering::Relaxed) || *self.stopping.borrow()
    }

    /// Admits a request until the returned permit is dropped, if the number of requests allows it.
    pub(super) fn admit(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        let most = self.settings.limits.requests;
        let busy = |_| Refusal::overloaded(format!("{most} requests are worked on already: try again later"));
        self.requests.clone().try_acquire_owned().map_err(busy)
    }

    /// Deadline of a request: the time `requested` after its arrival, but at most the server's time limit.
    pub(super) fn deadline(&self, arrived: Instant, requested: Option<Duration>) -> Instant {
        let most = self.settings.limits.deadline;
        arrived + requested.map_or(most, |requested| requested.min(most))
    }

    /// Submits a request to the service. This may block, so that it must not run on a thread that serves connections.
    pub(super) fn submit(&self, request: &Request<'_>) -> Result<Ticket, Refusal> {
        let texts = request.queries.len();
        if texts > self.settings.limits.texts {
            let most = self.settings.limits.texts;
            return Err(Refusal::too_large(format!("{texts} texts in one request, at most {most}: send several")));
        }
        if let Some(speed) = request.speed.filter(|speed| !(speed.is_finite() && *speed >= 0.0)) {
            return Err(Refusal::unprocessable(format!("speed is {speed}, expected a number of at least 0")));
        }
        self.service.submit(request).map_err(|error| Refusal::from_error(&error))
    }

    pub(super) fn version(&self) -> ModelVersion {
        self.version.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Waits for the answers of a request until the deadline.
pub(super) async fn answers(ticket: Ticket, deadline: Instant) -> Result<Vec<Answer>, Refusal> {
    match tokio::time::timeout_at(deadline.into(), ticket).await {
        Ok(answers) => answers.map_err(|error| Refusal::of_answer(&error)),
        Err(_) => Err(Refusal::late()),
    }
}

/// Runs blocking work on a separate thread, so that the threads of connections are not blocked.
pub(super) async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(Refusal::of_answer(&dht_dynamic::Error::Panic { message: error.to_string() })),
    }
}

/// Runs blocking work on a separate thread. A result that arrives after the deadline is dropped.
pub(super) async fn aside_until<T: Send + 'static>(
    deadline: Instant,
    work: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    tokio::time::timeout_at(deadline.into(), aside(work)).await.unwrap_or_else(|_| Err(Refusal::late()))
}
