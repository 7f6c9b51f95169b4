//! Answers requests from many threads in shared batches, over a bounded queue.
//!
//! ```text
//!  submit: encode on the caller's thread ─▶ queue (bounded) ─▶ worker: batches of one speed ─▶ Ticket
//!          rejected: Busy, TooLong, …       │                    dropped tickets and late requests are not computed
//!                                           └─ left at the n-gram exit ─────────────────────────▶
//! ```

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Instant;

use super::job::Job;
use super::metrics::ServiceMetrics;
use super::model::Model;
use super::queue::Waiting;
use super::settings::ServiceSettings;
use super::shared::Shared;
use super::ticket::Ticket;
use super::worker;
use crate::error::{Error, Result};
use crate::passage::FrontOutcome;
use crate::serving::answer::Answer;
use crate::serving::engine::{Engine, Query};

/// Request to a [`Service`]: texts to predict, with their speed and deadline.
#[derive(Debug, Clone, Default)]
pub struct Request<'a> {
    /// Texts to predict. The answers have the same order.
    pub queries: Vec<Query<'a>>,
    /// [Speed](Engine::with_speed) (exit threshold) for the texts; `None`, the default, for the model's own speed.
    pub speed: Option<f64>,
    /// Time after which the answers are useless; `None`, the default, for no deadline.
    pub deadline: Option<Instant>,
    /// True to reject the request if the model would truncate a text; false by default.
    pub whole: bool,
}

impl<'a> Request<'a> {
    /// Creates a request at the model's own speed, without a deadline.
    pub fn new(queries: impl IntoIterator<Item = impl Into<Query<'a>>>) -> Self {
        Self { queries: queries.into_iter().map(Into::into).collect(), ..Self::default() }
    }
}

/// Thread-safe prediction service: answers the texts of many threads with one [`Engine`], in shared batches.
///
/// [`submit`](Self::submit) encodes the texts on the caller's thread, puts them into a queue and returns a [`Ticket`].
/// Workers take batches of texts with the same speed from the queue, as soon as a batch is full or the oldest text has
/// waited for [`max_wait`](ServiceSettings::max_wait). If the [n-gram classifier](crate::exit::FrontExit) answers a
/// text, this happens on the caller's thread, and the text is never queued.
///
/// - The queue is bounded. A request that does not fit is rejected at once with [`Error::Busy`], and none of its texts
///   is queued. A request that would miss its deadline, judging by the speed of recent batches, is rejected with
///   [`Error::Backlog`]. Under overload, some requests are thus answered in time, instead of all of them late.
/// - An answer is identical to the bit whatever other texts are in its batch. Each row of a matrix product is
///   independent of the other rows, and a model whose router decides for a whole batch is made
///   [independent](Engine::independent).
/// - A request past its deadline ends with [`Error::Deadline`]. A request whose ticket was dropped is not answered. The
///   texts of such requests are not computed.
/// - [`reload`](Self::reload) replaces the model. Requests that were already accepted are answered by the previous
///   model.
/// - [`stop`](Self::stop) rejects new requests, and returns when all accepted requests have ended.
/// - A failed batch runs again text by text, so that only the failing texts fail.
///
/// # Examples
/// ```no_run
/// use dht_dynamic::{Engine, serving::{Request, Service, ServiceSettings}};
///
/// # fn main() -> dht_dynamic::Result<()> {
/// let service = Service::start(Engine::load("models/reviews")?, ServiceSettings::default())?;
/// let ticket = service.submit(&Request::new(["The food was fine.", "Never again!"]))?;
/// for served in ticket.wait()? {
///     let share = served.flops as f64 / served.full_flops as f64;
///     println!("{} for {share:.2} of the full model", served.label);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Service {
    shared: Arc<Shared>,
    model: RwLock<Arc<Model>>,
    workers: Mutex<Vec<JoinHandle<()>>>,
}

impl Service {
    /// Starts a service: warms the model up with two batches, and starts the worker threads. The warm-up packs the
    /// weights, and measures the time per token.
    ///
    /// # Errors
    /// * [`Error::Argument`] if a thread cannot be started.
    /// * Errors of [`ServiceSettings::check`].
    pub fn start(engine: Engine, settings: ServiceSettings) -> Result<Self> {
        settings.check()?;
        let workers = settings.workers;
        let shared = Arc::new(Shared::new(settings));
        let service = Self { shared, model: RwLock::new(Model::new(engine)), workers: Mutex::default() };
        worker::warm_up(&service.shared, &service.engine());
        for index in 0..workers {
            let shared = service.shared.clone();
            let thread = std::thread::Builder::new().name(format!("worker-{index}"));
            let started = thread.spawn(move || worker::work(&shared));
            let started = started.map_err(|error| Error::argument("workers", "threads that start", error))?;
            service.workers().push(started);
        }
        Ok(service)
    }

    fn workers(&self) -> MutexGuard<'_, Vec<JoinHandle<()>>> {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn model(&self) -> Arc<Model> {
        self.model.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Submits a request, and returns a ticket for its answers. The texts are encoded on the caller's thread, so that a
    /// long text does not occupy a worker. A request without texts is answered at once.
    ///
    /// # Errors
    /// * [`Error::Busy`] if the queue is full.
    /// * [`Error::Backlog`] if the request would miss its deadline in the queue.
    /// * [`Error::Deadline`] if the deadline has passed.
    /// * [`Error::Stopping`] after [`stop`](Self::stop).
    /// * [`Error::TooLong`] if the request is [whole](Request::whole) and the model would truncate a text.
    /// * [`Error::Limit`] if the request alone has more texts or tokens than the queue can hold.
    /// * [`Error::Argument`] if [`Engine::with_speed`] rejects the speed.
    /// * [`Error::Transformer`] if a text cannot be encoded, as for [`Engine::predict`].
    /// * [`Error::Panic`] if a router panics while it decides after the n-gram classifier.
    ///
    /// [`Error::is_retryable`] returns whether a later attempt can succeed.
    pub fn submit(&self, request: &Request<'_>) -> Result<Ticket> {
        let ticket = self.enqueue(request);
        if let Err(Error::Busy { .. } | Error::Backlog { .. }) = ticket {
            self.shared.counters.get().refused += 1;
        }
        ticket
    }

    fn enqueue(&self, request: &Request<'_>) -> Result<Ticket> {
        let (shared, texts) = (&self.shared, request.queries.len());
        let settings = &shared.settings;
        if texts > settings.queue_texts {
            return Err(Error::Limit { what: "texts", got: texts, most: settings.queue_texts });
        }
        let arrived = Instant::now();
        let late = || request.deadline.is_some_and(|deadline| deadline <= Instant::now());
        if late() {
            return Err(Error::Deadline);
        }
        {
            // A full queue is detected before encoding.
            let queue = shared.queue();
            queue.check_room(texts, 0, settings)?;
            queue.check_time(0, request.deadline, settings)?;
        }
        let engine = self.model().at(request.speed)?;
        let job = Job::new(texts, arrived, request.deadline);
        let mut waiting = Vec::with_capacity(texts);
        let mut answered = Vec::new();
        for (index, query) in request.queries.iter().enumerate() {
            if late() {
                return Err(Error::Deadline);
            }
            let sample = engine.encode(*query, shared.next_id())?;
            if request.whole && sample.encoding.truncated {
                return Err(Error::TooLong { text: index, most: engine.max_length() });
            }
            match worker::without_panic(|| engine.begin(&sample))? {
                FrontOutcome::Answered(answer) => answered.push((index, answer)),
                FrontOutcome::Continues(passage) => {
                    waiting.push(Waiting { sample, passage, index, job: job.clone(), engine: engine.clone() });
                }
            }
        }
        let tokens: usize = waiting.iter().map(|text| text.sample.encoding.ids.len()).sum();
        if tokens > settings.queue_tokens {
            return Err(Error::Limit { what: "tokens", got: tokens, most: settings.queue_tokens });
        }
        if late() {
            return Err(Error::Deadline);
        }
        {
            let mut queue = shared.queue();
            queue.push(waiting, request.deadline, settings)?;
            let mut counters = shared.counters.get();
            counters.accepted += 1;
            if texts == 0 {
                counters.answer(arrived.elapsed());
            }
        }
        shared.changed.notify_one();
        for (index, served) in answered {
            shared.counters.get().computed(std::slice::from_ref(&served));
            worker::deliver(shared, &job, index, Ok(served));
        }
        Ok(Ticket::new(job, shared.clone()))
    }

    /// [Submits](Self::submit) a request and waits for its answers.
    ///
    /// # Errors
    /// Errors of [`submit`](Self::submit) and [`Ticket::wait`].
    ///
    /// # Examples
    /// ```
    /// use dht_dynamic::serving::{Request, Service, ServiceSettings};
    /// use dht_dynamic::{Engine, Error};
    /// # use candle_core::Device;
    /// # use dht_dynamic::transformer::{
    /// #     BertConfig, Dataset, Encoder, Example, Pooling, TextClassifier, TextTokenizer,
    /// # };
    /// # use rand::SeedableRng;
    /// # let things = [
    /// #     "day", "meal", "film", "book", "song", "town", "hotel", "coat", "game", "park",
    /// #     "chair", "train", "cake", "shop", "lamp", "road", "wine", "boat", "play", "view",
    /// # ];
    /// # let words = [("fine", 1), ("lovely", 1), ("great", 1), ("bad", 0), ("awful", 0), ("poor", 0)];
    /// # let review = |thing, (word, label)| Example::new(format!("The {thing} was {word}"), label);
    /// # let examples = things.iter().flat_map(|thing| words.map(|word| review(thing, word)));
    /// # let labels = vec!["bad".into(), "good".into()];
    /// # let data = Dataset::from_examples("reviews", labels, examples.collect())?;
    /// # let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
    /// # let (training, held_out) = data.split_validation(0.25, &mut rng)?;
    /// # let texts = training.examples.iter().map(|example| &*example.text);
    /// # let tokenizer = TextTokenizer::train(texts, 100)?;
    /// # let encode = |data: &Dataset| tokenizer.encode_all(data, 16);
    /// # let (training, held_out) = (encode(&training)?, encode(&held_out)?);
    /// # let config = BertConfig::small(4, 6, 24, tokenizer.vocabulary_size())?;
    /// # let encoder = Encoder::random(&config, &Device::Cpu, &mut rng)?;
    /// # let classifier = TextClassifier::new(encoder, 2, Pooling::Mean, &mut rng)?;
    ///
    /// let labels = ["bad".to_owned(), "good".to_owned()];
    /// let engine = Engine::new(classifier, tokenizer, &labels)?;
    /// let service = Service::start(engine, ServiceSettings::default())?;
    /// let request = Request::new(["The food was fine.", "Never again!"]);
    /// assert_eq!(service.predict(&request)?.len(), 2);
    /// assert_eq!(service.metrics().answered, 1);
    /// service.stop();
    /// assert!(matches!(service.predict(&request), Err(Error::Stopping)));
    /// # Ok::<(), dht_dynamic::Error>(())
    /// ```
    pub fn predict(&self, request: &Request<'_>) -> Result<Vec<Answer>> {
        self.submit(request)?.wait()
    }

    /// Answers a text at every exit, as [`Engine::predict_at_exits`] does, on the caller's thread and outside of the
    /// queue. The metrics count one text that ran all layers.
    ///
    /// # Errors
    /// * [`Error::Panic`] if an exit panics.
    /// * Errors of [`Engine::predict_at_exits`].
    pub fn predict_at_exits(&self, query: Query<'_>) -> Result<Vec<Answer>> {
        let answers = worker::without_panic(|| self.engine().predict_at_exits(query))?;
        self.shared.counters.get().computed(answers.last().map_or(&[], std::slice::from_ref));
        Ok(answers)
    }

    /// Engine for requests that do not set a speed.
    pub fn engine(&self) -> Arc<Engine> {
        self.model().own().clone()
    }

    /// Limits of the service: queue, batches, waiting time and threads.
    pub fn settings(&self) -> &ServiceSettings {
        &self.shared.settings
    }

    /// Replaces the model, after a warm-up like that of [`start`](Self::start). Requests that were already accepted are
    /// answered by the previous model.
    pub fn reload(&self, engine: Engine) {
        let model = Model::new(engine);
        worker::warm_up(&self.shared, model.own());
        *self.model.write().unwrap_or_else(PoisonError::into_inner) = model;
        self.shared.counters.get().reloads += 1;
    }

    /// Metrics of the service: its queue now, and its totals since the start.
    pub fn metrics(&self) -> ServiceMetrics {
        let (texts, tokens) = {
            let queue = self.shared.queue();
            (queue.texts(), queue.tokens())
        };
        ServiceMetrics { queued_texts: texts, queued_tokens: tokens, ..self.shared.counters.get().clone() }
    }

    /// Stops the service: rejects new requests, and returns when all accepted requests have ended.
    pub fn stop(&self) {
        self.shared.queue().stopping = true;
        self.shared.changed.notify_all();
        // The lock is held until all workers have ended, so that a second caller does not return earlier.
        self.workers().drain(..).for_each(|worker| drop(worker.join()));
    }
}

/// [Stops](Service::stop) the service, which waits for all accepted requests.
impl Drop for Service {
    fn drop(&mut self) {
        self.stop();
    }
}
