//! Answers of a service to its requests.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use dht_dynamic::router::{ExitRule, ExitView, Notes};
use dht_dynamic::{
    Answer, Engine,
    serving::{Request, Service, ServiceSettings},
};
use dht_dynamic::{Error, Query, Result};
use dht_toys::reviews::{labels, tokenizer, words};

use super::toy::{accelerated, service, without_front};

/// Part of an answer that must not depend on the batch, to the bit.
fn exact(answer: &Answer) -> (String, String, u64, Vec<u32>) {
    let bits = answer.probabilities.iter().map(|p| p.to_bits()).collect();
    (answer.label.to_string(), answer.route.to_string(), answer.flops, bits)
}

/// Answers to texts, computed one text at a time.
fn alone(service: &Service, texts: &[String], speed: Option<f64>) -> Result<Vec<Answer>> {
    let mut all = Vec::new();
    for text in texts {
        let request = Request { speed, ..Request::new([text.as_str()]) };
        all.extend(service.predict(&request)?);
    }
    Ok(all)
}

#[test]
fn a_text_gets_the_answer_of_the_exit_where_it_stops() -> Result<()> {
    for (name, engine) in [("without front", without_front()), ("accelerated", accelerated())] {
        let service = service(engine.clone(), 1 << 16, Duration::ZERO)?;
        let mut depths = BTreeSet::new();
        for (text, count) in words(40, 6).iter().zip(1..) {
            let text = text.as_str();
            let (answer, exits) = (engine.predict(&[text])?.remove(0), service.predict_at_exits(text.into())?);
            let depth = |answer: &Answer| answer.route.depth();
            assert!(exits.is_sorted_by(|a, b| depth(a) < depth(b) && a.flops < b.flops), "{name}");
            let stopped = exits.iter().find(|exit| depth(exit) == depth(&answer)).expect("an exit");
            assert_eq!(exact(stopped), exact(&answer), "{name}: {text}");
            let full = engine.with_speed(0.0)?.predict(&[text])?.remove(0);
            let last = exits.last().expect("an exit");
            assert_eq!((&last.label, &last.probabilities), (&full.label, &full.probabilities), "{name}: {text}");
            let metrics = service.metrics();
            assert_eq!((metrics.texts, metrics.depths[depth(last)]), (count, count));
            depths.insert(depth(&answer));
        }
        assert!(depths.len() > 1, "{name}: {depths:?}");
    }
    Ok(())
}

#[test]
fn an_answer_in_a_batch_is_the_answer_alone_to_the_bit() -> Result<()> {
    let texts = words(160, 5);
    for (name, engine, speed) in [
        ("without front", without_front(), None),
        ("accelerated", accelerated(), None),
        ("slow", accelerated(), accelerated().speed().map(|speed| 0.5 * speed)),
    ] {
        let service = service(engine, 1 << 16, Duration::ZERO)?;
        let alone = alone(&service, &texts, speed)?;
        let routes: BTreeSet<String> = alone.iter().map(|served| served.route.to_string()).collect();
        assert!(routes.len() > 1, "{name}: {routes:?}");
        for size in [2, 7, 160] {
            for chunk in (0..texts.len()).collect::<Vec<_>>().chunks(size) {
                // In both directions: the place in the batch does not count either.
                let backwards: Vec<usize> = chunk.iter().rev().copied().collect();
                for order in [chunk, &backwards] {
                    let request = Request { speed, ..Request::new(order.iter().map(|text| texts[*text].as_str())) };
                    for (text, served) in order.iter().zip(service.predict(&request)?) {
                        assert_eq!(exact(&served), exact(&alone[*text]), "{name}: text {text} in a batch of {size}");
                    }
                }
            }
        }
    }
    Ok(())
}

#[test]
fn concurrent_requests_get_their_own_answers_at_their_speeds() -> Result<()> {
    let service = service(without_front(), 128, Duration::from_millis(2))?;
    let texts = words(40, 6);
    let speeds = [None, Some(2.0), Some(0.01)];
    let expected = speeds.map(|speed| alone(&service, &texts, speed).expect("answers"));
    assert_ne!(expected[1], expected[2]);
    std::thread::scope(|scope| {
        for thread in 0..6 {
            let (service, texts, expected) = (&service, &texts, &expected);
            scope.spawn(move || {
                for turn in 0..30 {
                    let (speed, first) = ((thread + turn) % 3, (thread * 7 + turn) % 30);
                    let part = first..first + 1 + turn % 9;
                    let queries = texts[part.clone()].iter().map(String::as_str);
                    let request = Request { speed: speeds[speed], ..Request::new(queries) };
                    let found = service.predict(&request).expect("answers");
                    assert_eq!(found, expected[speed][part], "thread {thread}, turn {turn}");
                }
            });
        }
    });
    let metrics = service.metrics();
    assert_eq!((metrics.accepted, metrics.answered), (180 + 120, 180 + 120));
    assert!(metrics.batches.counts.iter().sum::<u64>() < metrics.texts, "some texts ran together");
    Ok(())
}

#[test]
fn a_batch_holds_texts_of_several_requests_within_its_tokens() -> Result<()> {
    let service = service(without_front(), 64, Duration::from_secs(3))?;
    let text = "the food was fine".to_owned();
    let tickets: Vec<_> =
        (0..20).map(|_| service.submit(&Request::new([text.as_str()]))).collect::<Result<Vec<_>>>()?;
    for ticket in tickets {
        assert_eq!(ticket.wait()?[0].tokens, 6);
    }
    let metrics = service.metrics();
    // 64 tokens hold ten texts of six.
    assert_eq!((metrics.texts, metrics.tokens, metrics.batches.sum), (20, 120, 20.0));
    assert_eq!(metrics.batches.counts.iter().sum::<u64>(), 2);
    assert_eq!(metrics.depths.iter().sum::<u64>(), 20);
    assert!(metrics.flops > 0 && metrics.flops < metrics.full_flops);
    Ok(())
}

#[test]
fn a_text_that_leaves_in_front_waits_for_no_batch() -> Result<()> {
    // A batch would wait for a minute.
    let service = service(accelerated(), 1 << 16, Duration::from_secs(60))?;
    let fast = Request { speed: Some(1.0), ..Request::new(["fine", "bad", ""]) };
    let start = Instant::now();
    let found = service.predict(&fast)?;
    assert!(start.elapsed() < Duration::from_secs(30));
    assert!(found.iter().all(|served| served.route.to_string() == "0L"), "{found:?}");
    let metrics = service.metrics();
    assert_eq!((metrics.texts, metrics.answered, metrics.depths.as_slice()), (3, 1, [3].as_slice()));
    assert_eq!((metrics.queued_texts, metrics.batches.counts.iter().sum::<u64>()), (0, 0));
    service.stop();
    assert!(matches!(service.predict(&fast), Err(Error::Stopping)));
    Ok(())
}

/// Router that records the texts at the n-gram exit, where no text leaves. It panics at a text with a specific number
/// of tokens.
#[derive(Debug, Clone, Default)]
struct Listing {
    seen: Arc<Mutex<Vec<u64>>>,
    panics_at: Option<usize>,
}

impl ExitRule for Listing {
    fn reads(&self, _: usize, _: usize) -> bool {
        false
    }

    fn leaves(&self, view: &ExitView<'_>, _: &mut [Notes]) -> Result<Vec<bool>> {
        assert!(view.lengths().all(|tokens| Some(tokens) != self.panics_at), "a text of {:?} tokens", self.panics_at);
        if view.exit == 0 {
            self.seen.lock().expect("the list").extend(view.ids());
        }
        Ok(vec![false; view.members.len()])
    }
}

impl Listing {
    fn engine(&self) -> Result<Engine> {
        let model = accelerated().model().dynamic()?.clone().with_router(Box::new(self.clone()));
        Engine::new(model, tokenizer().with_model_max_length(128), &labels())
    }

    fn seen(&self) -> Vec<u64> {
        std::mem::take(&mut *self.seen.lock().expect("the list"))
    }
}

#[test]
fn the_n_gram_exit_runs_once_for_each_text_and_for_no_other() -> Result<()> {
    let router = Listing::default();
    let texts = words(24, 9);
    // Owned texts, as a program has them.
    let expected = router.engine()?.predict(&texts)?;
    assert_eq!(router.seen().len(), texts.len());
    let service = service(router.engine()?, 1 << 16, Duration::ZERO)?;
    assert_eq!(router.seen(), [0; 0], "the texts of the warm-up are the service's own");
    for _ in 0..2 {
        assert_eq!(service.predict(&Request::new(texts.iter().map(String::as_str)))?, expected);
    }
    let seen: BTreeSet<u64> = router.seen().into_iter().collect();
    assert_eq!(seen.len(), 2 * texts.len(), "each text has a number of its own");
    Ok(())
}

#[test]
fn a_router_that_panics_fails_its_request_alone() -> Result<()> {
    let texts = ["fine", "the food was fine and the day was good"];
    let tokens = Listing::default().engine()?.predict(&texts)?[1].tokens;
    let router = Listing { panics_at: Some(tokens), ..Listing::default() };
    let service = service(router.engine()?, 1 << 16, Duration::ZERO)?;
    match service.submit(&Request::new([texts[1]])).map(drop) {
        Err(error @ Error::Panic { .. }) => assert!(!error.is_retryable() && error.to_string().contains("tokens")),
        other => panic!("{other:?}"),
    }
    assert_eq!(service.predict(&Request::new([texts[0]]))?.len(), 1);
    Ok(())
}

#[test]
fn pairs_no_texts_and_empty_texts_are_answered() -> Result<()> {
    let service = Service::start(accelerated(), ServiceSettings::default())?;
    assert!(service.predict(&Request::new([] as [&str; 0]))?.is_empty());
    assert_eq!(service.predict(&Request::new([""]))?[0].tokens, 2);
    let pair = Query { text: "fine", pair: Some("food") };
    assert_eq!(service.predict(&Request::new([pair]))?[0].tokens, 5);
    assert_eq!(service.metrics().answered, 3);
    Ok(())
}

#[test]
fn a_reload_answers_what_was_taken_before_with_the_model_before() -> Result<()> {
    let service = service(without_front(), 1 << 16, Duration::from_millis(300))?;
    let texts = words(30, 8);
    let request = Request::new(texts.iter().map(String::as_str));
    let of = |engine: Engine| -> Result<Vec<String>> {
        let service = Service::start(engine, ServiceSettings::default())?;
        Ok(service.predict(&request)?.iter().map(|served| served.route.to_string()).collect())
    };
    let (before, after) = (of(without_front())?, of(accelerated())?);
    assert_ne!(before, after);
    let routes = |found: Vec<Answer>| found.iter().map(|s| s.route.to_string()).collect::<Vec<_>>();
    let old = service.submit(&request)?;
    service.reload(accelerated());
    let new = service.submit(&request)?;
    assert_eq!((routes(old.wait()?), routes(new.wait()?)), (before, after));
    assert_eq!(service.metrics().reloads, 1);
    Ok(())
}

#[test]
fn a_ticket_is_a_future() -> Result<()> {
    use std::future::Future;
    use std::sync::Arc;
    use std::task::{Context, Poll, Wake, Waker};

    struct Unpark(std::thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let service = service(accelerated(), 1 << 16, Duration::from_millis(20))?;
    let mut ticket = Box::pin(service.submit(&Request::new(["fine"]))?);
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let answers = loop {
        match ticket.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(answers) => break answers?,
            Poll::Pending => std::thread::park_timeout(Duration::from_secs(30)),
        }
    };
    assert_eq!(answers.len(), 1);
    Ok(())
}
