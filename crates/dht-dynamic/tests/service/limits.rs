//! Requests that are rejected, cancelled or too late; stopping and reloading under load.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use dht_dynamic::serving::{Request, Service, ServiceMetrics, ServiceSettings};
use dht_dynamic::transformer::Error as TransformerError;
use dht_dynamic::{Error, Result};
use dht_toys::refused;
use dht_toys::reviews::words;

use super::toy::{accelerated, service, without_front};

/// Asserts that every accepted request has exactly one outcome, and that no request is waiting.
fn assert_settled(metrics: &ServiceMetrics) {
    let ended = metrics.answered + metrics.failed + metrics.late + metrics.cancelled;
    assert_eq!(metrics.accepted, ended, "{metrics:?}");
    assert_eq!((metrics.queued_texts, metrics.queued_tokens), (0, 0));
}

#[test]
fn a_full_queue_rejects_a_whole_request_and_queues_none_of_it() -> Result<()> {
    let minute = Duration::from_secs(60);
    for (queue_texts, queue_tokens) in [(5, 1 << 18), (4096, 24)] {
        let settings = ServiceSettings {
            queue_texts,
            queue_tokens,
            batch_tokens: 1 << 16,
            max_wait: minute,
            ..ServiceSettings::default()
        };
        let service = Service::start(without_front(), settings)?;
        // Three tokens each with the special ones.
        let first = service.submit(&Request::new(["fine"; 4]))?;
        let refused = service.submit(&Request::new(["fine food was good the"; 2]));
        assert!(matches!(refused, Err(Error::Busy { .. })), "{refused:?}");
        let metrics = service.metrics();
        assert_eq!((metrics.queued_texts, metrics.queued_tokens, metrics.refused), (4, 12, 1));
        let small = service.submit(&Request::new(["fine"]))?;
        drop(first);
        assert_eq!(service.metrics().queued_texts, 1, "a ticket that is dropped makes room");
        let again = service.submit(&Request::new(["fine"; 4]))?;
        service.stop();
        assert_eq!((small.wait()?.len(), again.wait()?.len()), (1, 4));
        assert_settled(&service.metrics());
    }
    Ok(())
}

#[test]
fn a_batch_of_exactly_its_tokens_runs_whole_and_at_once() -> Result<()> {
    let service = service(without_front(), 12, Duration::from_secs(60))?;
    let soon = || Some(Instant::now() + Duration::from_secs(30));
    // Texts of three tokens each.
    let three = service.submit(&Request { deadline: soon(), ..Request::new(["fine"; 3]) })?;
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!((service.metrics().queued_tokens, service.metrics().answered), (9, 0), "they wait for others");
    let fourth = service.submit(&Request { deadline: soon(), ..Request::new(["fine"]) })?;
    assert_eq!((three.wait()?.len(), fourth.wait()?.len()), (3, 1));
    assert_eq!(service.metrics().batches.counts.iter().sum::<u64>(), 1);
    // One token more is the next batch's.
    let five = service.submit(&Request { deadline: soon(), ..Request::new(["fine"; 5]) })?;
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(service.metrics().queued_tokens, 3);
    service.stop();
    assert_eq!(five.wait()?.len(), 5);
    assert_settled(&service.metrics());
    Ok(())
}

#[test]
fn a_text_that_does_not_fit_into_a_batch_waits_for_the_next() -> Result<()> {
    // Texts of three tokens each: four fit, and five would be two tokens too many.
    let service = service(without_front(), 13, Duration::from_secs(60))?;
    let five = service.submit(&Request::new(["fine"; 5]))?;
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(service.metrics().queued_tokens, 3);
    service.stop();
    assert_eq!(five.wait()?.len(), 5);
    Ok(())
}

#[test]
fn what_can_never_be_answered_is_refused_by_its_name() -> Result<()> {
    let settings = ServiceSettings { queue_texts: 8, queue_tokens: 40, ..ServiceSettings::default() };
    let service = Service::start(without_front().with_max_bytes(2000), settings)?;
    assert_eq!(refused(service.predict(&Request::new(["fine"; 9]))), "texts");
    assert_eq!(refused(service.predict(&Request::new(["fine fine fine fine"; 8]))), "tokens");
    for speed in [f64::NAN, -1.0, f64::INFINITY] {
        let request = Request { speed: Some(speed), ..Request::new(["fine"]) };
        assert_eq!(refused(service.predict(&request)), "speed");
    }
    let long = "fine ".repeat(300);
    let whole = Request { whole: true, ..Request::new(["fine", &long]) };
    assert!(matches!(service.predict(&whole), Err(Error::TooLong { text: 1, most: 128 })));
    let huge = "fine ".repeat(500);
    let found = service.predict(&Request::new([huge.as_str()]));
    assert!(matches!(found, Err(Error::Transformer(TransformerError::TextTooLong { .. }))), "{found:?}");
    assert_eq!(service.predict(&Request::new(["fine"]))?.len(), 1);
    assert_settled(&service.metrics());
    Ok(())
}

#[test]
fn limits_of_nothing_are_refused() {
    let zeros = [
        ServiceSettings { queue_texts: 0, ..ServiceSettings::default() },
        ServiceSettings { queue_tokens: 0, ..ServiceSettings::default() },
        ServiceSettings { batch_tokens: 0, ..ServiceSettings::default() },
        ServiceSettings { workers: 0, ..ServiceSettings::default() },
        ServiceSettings { max_wait: Duration::from_secs(61), ..ServiceSettings::default() },
    ];
    let fields = zeros.map(|settings| refused(Service::start(accelerated(), settings)));
    assert_eq!(fields, ["queue_texts", "queue_tokens", "batch_tokens", "workers", "max_wait"]);
}

#[test]
fn late_requests_and_dropped_tickets_are_not_computed() -> Result<()> {
    let service = service(without_front(), 1 << 16, Duration::from_millis(200))?;
    let soon = || Some(Instant::now() + Duration::from_millis(20));
    let late = Request { deadline: soon(), ..Request::new(["fine"; 3]) };
    assert!(matches!(service.predict(&late), Err(Error::Deadline)));
    // Seen by the worker, since nobody waits.
    let ticket = service.submit(&Request { deadline: soon(), ..Request::new(["fine"]) })?;
    let passed = Request { deadline: Some(Instant::now()), ..Request::new(["fine"]) };
    assert!(matches!(service.submit(&passed), Err(Error::Deadline)));
    drop(service.submit(&Request::new(["bad"; 5]))?);
    let answered =
        service.submit(&Request { deadline: soon().map(|s| s + Duration::from_secs(60)), ..Request::new(["day"]) })?;
    assert_eq!(answered.wait()?.len(), 1);
    assert!(matches!(ticket.wait(), Err(Error::Deadline)));
    let metrics = service.metrics();
    assert_eq!((metrics.texts, metrics.late, metrics.cancelled, metrics.answered), (1, 2, 1, 1));
    assert_settled(&metrics);
    Ok(())
}

#[test]
fn a_stop_under_load_answers_accepted_requests_and_rejects_new() -> Result<()> {
    let texts = words(30, 9);
    let settings = ServiceSettings { workers: 2, batch_tokens: 64, ..ServiceSettings::default() };
    let service = Service::start(without_front(), settings)?;
    let (taken, answered) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (service, texts, taken, answered) = (&service, &texts, &taken, &answered);
            scope.spawn(move || {
                for turn in 0.. {
                    let part = texts[(thread + turn) % 25..].iter().take(5).map(String::as_str);
                    match service.submit(&Request::new(part)) {
                        Ok(ticket) => {
                            taken.fetch_add(1, Ordering::Relaxed);
                            assert_eq!(ticket.wait().expect("an answer").len(), 5);
                            answered.fetch_add(1, Ordering::Relaxed);
                        }
                        Err(Error::Stopping) => break,
                        Err(error) => panic!("{error}"),
                    }
                }
            });
        }
        while service.metrics().answered < 40 {
            std::thread::sleep(Duration::from_millis(5));
        }
        service.stop();
        assert!(matches!(service.submit(&Request::new(["fine"])), Err(Error::Stopping)));
    });
    assert_eq!(taken.into_inner(), answered.into_inner());
    assert_settled(&service.metrics());
    Ok(())
}

#[test]
fn reloading_under_load_loses_no_request() -> Result<()> {
    let service = service(without_front(), 64, Duration::from_millis(1))?;
    let asked = AtomicU64::new(0);
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..4)
            .map(|_| {
                let (service, asked) = (&service, &asked);
                scope.spawn(move || {
                    // To make a model takes as long as it takes: requests go on until there were three.
                    while asked.load(Ordering::Relaxed) < 160 || service.metrics().reloads <= 2 {
                        asked.fetch_add(1, Ordering::Relaxed);
                        let request = Request { speed: Some(0.3), ..Request::new(["fine day", "bad food"]) };
                        assert_eq!(service.predict(&request).expect("answers").len(), 2);
                    }
                })
            })
            .collect();
        let mut turn = 0;
        while clients.iter().any(|client| !client.is_finished()) {
            service.reload(if turn % 2 == 0 { accelerated() } else { without_front() });
            turn += 1;
            std::thread::sleep(Duration::from_millis(2));
        }
    });
    let metrics = service.metrics();
    assert_eq!((metrics.answered, metrics.failed), (asked.into_inner(), 0));
    assert!(metrics.reloads > 2 && metrics.answered >= 160);
    assert_settled(&metrics);
    Ok(())
}
