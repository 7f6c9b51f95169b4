//! Worker threads of a service, which predict batches from the queue.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::PoisonError;
use std::time::Instant;

use dht_transformer::Sample;

use super::job::Job;
use super::queue::{Next, Waiting};
use super::shared::Shared;
use crate::error::{Error, Result};
use crate::passage::{FrontOutcome, Passage};
use crate::serving::answer::Answer;
use crate::serving::engine::{Engine, Query};

/// Maximum number of tokens in a warm-up batch.
const WARM_UP_TOKENS: usize = 2048;
/// Safety factor on the measured time of the warm-up batch. Real batches are slower, since other threads encode
/// requests at the same time.
const BUSY: u32 = 3;
/// Warm-up text of typical length. Its meaning is irrelevant.
const WARM_UP_TEXT: &str = "One of two or three texts that say nothing, in four or five lines of some six or seven words each, \
    as long as eight or nine of ten texts that somebody sends.";

/// Runs two warm-up batches before requests arrive. The first packs the weights, and the second measures the time per
/// token.
pub(super) fn warm_up(shared: &Shared, engine: &Engine) {
    // Errors are ignored here: a model that cannot answer reports them to its callers.
    let pair = engine.of_pairs().then_some(WARM_UP_TEXT);
    let Ok(engine) = &engine.for_own_texts() else { return };
    let Ok(sample) = engine.encode(Query { text: WARM_UP_TEXT, pair }, 0) else { return };
    // The slowest speed runs every layer.
    let slowest = engine.with_speed(0.0).unwrap_or_else(|_| engine.clone());
    let Ok(FrontOutcome::Continues(passage)) = without_panic(|| slowest.begin(&sample)) else { return };
    let run = |engine: &Engine, texts: usize| {
        let start = Instant::now();
        answers(engine, &vec![(&sample, &passage); texts]).map(|_| start.elapsed())
    };
    if run(&slowest, 1).is_err() {
        return;
    }
    let tokens = sample.encoding.ids.len();
    let texts = (WARM_UP_TOKENS.min(shared.settings.batch_tokens) / tokens).max(1);
    if let Ok(taken) = run(engine, texts) {
        shared.queue().ran(0, texts * tokens, BUSY * taken);
    }
}

/// Runs batches until the service stops and the queue is empty.
pub(super) fn work(shared: &Shared) {
    while let Some(batch) = next_batch(shared) {
        let (start, tokens) = (Instant::now(), batch.iter().map(Waiting::tokens).sum());
        let computed = run(shared, batch);
        shared.queue().ran(tokens, computed, start.elapsed());
    }
}

/// Waits for the next batch. Returns `None` if the service is stopping and the queue is empty.
fn next_batch(shared: &Shared) -> Option<Vec<Waiting>> {
    let mut queue = shared.queue();
    loop {
        let now = Instant::now();
        queue = match queue.next(&shared.settings) {
            Next::Nothing if queue.stopping => return None,
            Next::Nothing => shared.changed.wait(queue).unwrap_or_else(PoisonError::into_inner),
            Next::At(moment) if moment > now => {
                let wait = shared.changed.wait_timeout(queue, moment - now);
                wait.unwrap_or_else(PoisonError::into_inner).0
            }
            Next::At(_) | Next::Now => {
                let batch = queue.take(shared.settings.batch_tokens);
                if queue.texts() > 0 {
                    // Another worker may take the remaining texts.
                    shared.changed.notify_one();
                }
                return Some(batch);
            }
        };
    }
}

/// Computes a batch, delivers its answers, and returns the number of computed tokens. If the batch fails, its texts run
/// one by one, so that only the texts with errors fail.
fn run(shared: &Shared, batch: Vec<Waiting>) -> usize {
    let now = Instant::now();
    let mut live = Vec::with_capacity(batch.len());
    for text in batch {
        if text.job.is_over() {
            continue;
        }
        match text.job.deadline {
            Some(deadline) if deadline <= now => {
                if text.job.deliver(text.index, Err(Error::Deadline)) {
                    shared.counters.get().late += 1;
                }
            }
            _ => live.push(text),
        }
    }
    let Some(engine) = live.first().map(|text| text.engine.clone()) else { return 0 };
    let texts: Vec<(&Sample, &Passage)> = live.iter().map(|text| (&text.sample, &text.passage)).collect();
    match answers(&engine, &texts) {
        Ok(served) => {
            let tokens = served.iter().map(|served| served.tokens).sum();
            shared.counters.get().batch(&served);
            live.iter().zip(served).for_each(|(text, served)| deliver(shared, &text.job, text.index, Ok(served)));
            tokens
        }
        Err(error) if live.len() == 1 => {
            deliver(shared, &live[0].job, live[0].index, Err(error));
            0
        }
        Err(_) => live.into_iter().map(|text| run(shared, vec![text])).sum(),
    }
}

/// Delivers the answer to one text of a request, and updates the metrics if the request ends.
pub(super) fn deliver(shared: &Shared, job: &Job, index: usize, served: Result<Answer>) {
    let failed = served.is_err();
    // Counted before the caller can see the answer, so that the counters include every visible answer.
    let mut counters = shared.counters.get();
    if job.deliver(index, served) {
        if failed {
            counters.failed += 1;
        } else {
            counters.answer(job.arrived.elapsed());
        }
    }
}

/// Computes the answers to a batch. A panic becomes an error. The states in `texts` are cloned, so that the texts can
/// run again one by one if the batch fails.
fn answers(engine: &Engine, texts: &[(&Sample, &Passage)]) -> Result<Vec<Answer>> {
    let samples: Vec<&Sample> = texts.iter().map(|(sample, _)| *sample).collect();
    let passages = texts.iter().map(|(_, passage)| Passage::clone(passage)).collect();
    let answers = without_panic(|| engine.resume(&samples, passages))?;
    if answers.len() != samples.len() {
        return Err(Error::shape("answers", format!("{} of the batch", samples.len()), answers.len()));
    }
    Ok(answers)
}

/// Runs a function, and converts a panic to [`Error::Panic`].
pub(super) fn without_panic<T>(run: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("of an unknown kind");
        Err(Error::Panic { message: text.to_owned() })
    })
}
