//! Streams of JSON lines: each line is answered, in order, with a limited number of lines in progress.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use dht_dynamic::Query;
use dht_dynamic::{
    Answer,
    serving::{Request, Ticket},
};
use futures_util::stream;
use http_body_util::BodyExt;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::RawValue;
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};

use super::app::{App, answers, aside, aside_until};
use super::body;
use super::refusal::{ErrorType, Refusal, RefusalBody};

/// Maximum number of lines of a stream that wait for answers.
const ON_THE_WAY: usize = 64;
/// Maximum number of lines of a stream that are parsed together.
const AT_ONCE: usize = 16;
/// Maximum size of a line's id in bytes.
const ID_BYTES: usize = 1024;
/// Pause between attempts to submit a line to a full queue.
const PAUSE: Duration = Duration::from_millis(10);

/// Line of a stream: one JSON object with a text.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with `text`")]
struct Line {
    text: String,
    pair: Option<String>,
    speed: Option<f64>,
    /// Identifier that the answer repeats. It is ignored here, since [`Identified`] reads it.
    #[serde(rename = "id")]
    _id: Option<IgnoredAny>,
}

/// Line of a stream, of which only the identifier is read.
#[derive(Debug, Deserialize)]
struct Identified {
    id: Option<Box<RawValue>>,
}

#[derive(Debug, Serialize)]
struct LineAnswer {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<Box<RawValue>>,
    #[serde(flatten)]
    outcome: Outcome,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Outcome {
    Answer(Box<Answer>),
    Refusal {
        /// Number of the line, counted from 1.
        line: u64,
        #[serde(flatten)]
        refusal: RefusalBody,
    },
}

/// Line that was read, with the ticket of its answer or the reason why the line is refused.
struct Pending {
    line: u64,
    id: Option<Box<RawValue>>,
    taken: Result<(Ticket, Instant), Refusal>,
}

/// Answers a stream of JSON lines. The response begins immediately.
pub(super) fn answer(app: Arc<App>, body: Body) -> Result<Response, Refusal> {
    let permit = app.admit()?;
    let (sender, receiver) = mpsc::channel(ON_THE_WAY);
    tokio::spawn(read(app.clone(), body, sender));
    let (progress, seen) = watch::channel(());
    tokio::spawn(hold(permit, seen, app.settings.limits.reading + app.settings.limits.deadline));
    let state = (app, receiver, progress, 0_u64, Instant::now());
    let answers = stream::unfold(state, |(app, mut receiver, progress, count, started): Answering| async move {
        progress.send_replace(());
        let Some(pending) = receiver.recv().await else {
            let milliseconds = started.elapsed().as_millis() as u64;
            app.log.event("lines", json!({ "lines": count, "milliseconds": milliseconds }));
            return None;
        };
        let line = pending.answer(&app).await;
        Some((Ok::<Bytes, std::convert::Infallible>(line), (app, receiver, progress, count + 1, started)))
    });
    let mut response = Body::from_stream(answers).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    Ok(response)
}

type Answering = (Arc<App>, mpsc::Receiver<Pending>, watch::Sender<()>, u64, Instant);

/// Holds the permit that counts a stream as a request in progress. It is released when the stream ends, or when the
/// client has not read an answer for `patience`.
async fn hold(permit: OwnedSemaphorePermit, mut progress: watch::Receiver<()>, patience: Duration) {
    while let Ok(Ok(())) = tokio::time::timeout(patience, progress.changed()).await {}
    drop(permit);
}

impl Pending {
    async fn answer(self, app: &App) -> Bytes {
        let Self { line, id, taken } = self;
        let result = match taken {
            Ok((ticket, deadline)) => answers(ticket, deadline).await,
            Err(refusal) => Err(refusal),
        };
        let outcome = match result.map(|served| served.into_iter().next()) {
            Ok(Some(served)) => {
                app.metrics.text(&served);
                Outcome::Answer(Box::new(served))
            }
            Ok(None) => Outcome::Refusal { line, refusal: Refusal::late().body() },
            Err(refusal) => Outcome::Refusal { line, refusal: refusal.body() },
        };
        let mut bytes = serde_json::to_vec(&LineAnswer { id, outcome })
            .unwrap_or_else(|error| json!({ "line": line, "error": error.to_string() }).to_string().into_bytes());
        bytes.push(b'\n');
        bytes.into()
    }
}

/// Splitter of incoming bytes into lines.
struct Cutter {
    rest: Vec<u8>,
    most: usize,
    /// True while the rest of a line above the size limit is skipped.
    dropping: bool,
    line: u64,
}

impl Cutter {
    /// Returns the lines that are completed by `data`, with their numbers.
    fn cut(&mut self, data: &[u8]) -> Vec<(u64, Result<Vec<u8>, Refusal>)> {
        let mut lines = Vec::new();
        let mut parts = data.split(|byte| *byte == b'\n');
        let last = parts.next_back().unwrap_or_default();
        for part in parts {
            self.add(part);
            lines.extend(self.end());
        }
        self.add(last);
        lines
    }

    fn add(&mut self, part: &[u8]) {
        if self.dropping || self.rest.len() + part.len() > self.most {
            self.dropping = true;
            self.rest = Vec::new();
        } else {
            self.rest.extend_from_slice(part);
        }
    }

    /// Ends the current line and returns it with its number; `None` if the line is blank.
    fn end(&mut self) -> Option<(u64, Result<Vec<u8>, Refusal>)> {
        self.line += 1;
        if std::mem::take(&mut self.dropping) {
            let reason = format!("the line has more than {} bytes", self.most);
            return Some((self.line, Err(Refusal::too_large(reason))));
        }
        let line = std::mem::take(&mut self.rest);
        (!line.trim_ascii().is_empty()).then_some((self.line, Ok(line)))
    }
}

/// Reads the lines of a stream and submits them to the service, as fast as the client reads the answers.
async fn read(app: Arc<App>, mut body: Body, sender: mpsc::Sender<Pending>) {
    let limits = &app.settings.limits;
    let mut cutter = Cutter { rest: Vec::new(), most: limits.body_bytes, dropping: false, line: 0 };
    let mut stopping = app.stopping.clone();
    // The time limit applies to a whole line, so that a client cannot keep its connection by sending a byte now and
    // then.
    let (mut line, mut since) = (0, tokio::time::Instant::now());
    loop {
        if cutter.line > line {
            (line, since) = (cutter.line, tokio::time::Instant::now());
        }
        let frame = tokio::select! {
            frame = tokio::time::timeout_at(since + limits.reading, body.frame()) => Some(frame),
            () = stopped(&mut stopping) => None,
        };
        let Some(frame) = frame else {
            let taken = Err(Refusal::stopping());
            let _ = sender.send(Pending { line: cutter.line + 1, id: None, taken }).await;
            return;
        };
        let lines = match frame {
            Ok(Some(Ok(frame))) => frame.into_data().map_or_else(|_| Vec::new(), |data| cutter.cut(&data)),
            Ok(Some(Err(_))) => return,
            Ok(None) => {
                let last = if cutter.rest.is_empty() && !cutter.dropping { None } else { cutter.end() };
                let _ = submit(&app, last.into_iter().collect(), &sender).await;
                return;
            }
            Err(_) => {
                let reason = format!("no line came for {:?}", limits.reading);
                let refusal = Refusal::new(StatusCode::REQUEST_TIMEOUT, ErrorType::Validation, reason);
                let _ = sender.send(Pending { line: cutter.line + 1, id: None, taken: Err(refusal) }).await;
                return;
            }
        };
        if submit(&app, lines, &sender).await.is_none() {
            return;
        }
    }
}

async fn stopped(stopping: &mut watch::Receiver<bool>) {
    let _ = stopping.wait_for(|stopping| *stopping).await;
}

/// Submits lines to the service, and waits while its queue is full. Returns `None` if the stream has ended.
async fn submit(
    app: &Arc<App>,
    lines: Vec<(u64, Result<Vec<u8>, Refusal>)>,
    sender: &mpsc::Sender<Pending>,
) -> Option<()> {
    let mut lines = lines.into_iter().peekable();
    while lines.peek().is_some() {
        let part: Vec<_> = lines.by_ref().take(AT_ONCE).collect();
        // Places are reserved first, so that there are never more tickets than places.
        let places = sender.reserve_many(part.len()).await.ok()?;
        let own = app.clone();
        let parse = move || Ok(part.into_iter().map(|(line, bytes)| parse(line, bytes)).collect::<Vec<_>>());
        let parsed = aside(parse).await.ok()?;
        for (place, (line, id, parsed)) in places.zip(parsed) {
            let taken = match parsed {
                Ok(parsed) => take(&own, parsed).await,
                Err(refusal) => Err(refusal),
            };
            place.send(Pending { line, id, taken });
        }
    }
    Some(())
}

/// Parses a line. A readable identifier is returned even if the line is refused.
fn parse(line: u64, bytes: Result<Vec<u8>, Refusal>) -> (u64, Option<Box<RawValue>>, Result<Line, Refusal>) {
    let bytes = match bytes {
        Ok(bytes) => bytes,
        Err(refusal) => return (line, None, Err(refusal)),
    };
    let id = body::object::<Identified>(&bytes).ok().and_then(|identified| identified.id);
    match id.as_ref().map_or(0, |id| id.get().len()) {
        bytes if bytes > ID_BYTES => {
            let reason = format!("id has {bytes} bytes, at most {ID_BYTES}");
            (line, None, Err(Refusal::unprocessable(reason)))
        }
        _ => (line, id, body::object(&bytes)),
    }
}

/// Submits a line to the service, and waits until its queue has space.
async fn take(app: &Arc<App>, line: Line) -> Result<(Ticket, Instant), Refusal> {
    let line = Arc::new(line);
    let until = app.deadline(Instant::now(), None);
    loop {
        let (own, line) = (app.clone(), line.clone());
        let deadline = app.deadline(Instant::now(), None);
        let taken = aside_until(deadline, move || {
            let query = Query { text: &line.text, pair: line.pair.as_deref() };
            let request = Request { speed: line.speed, deadline: Some(deadline), ..Request::new([query]) };
            Ok((own.submit(&request)?, deadline))
        });
        match taken.await {
            Err(refusal) if refusal.error_type == ErrorType::Overloaded && Instant::now() < until => {
                tokio::time::sleep(PAUSE).await;
            }
            taken => return taken,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(pieces: &[&str], most: usize) -> Vec<(u64, Option<String>)> {
        let mut cutter = Cutter { rest: Vec::new(), most, dropping: false, line: 0 };
        let mut lines: Vec<_> = pieces.iter().flat_map(|piece| cutter.cut(piece.as_bytes())).collect();
        lines.extend(cutter.end());
        lines.into_iter().map(|(line, result)| (line, result.ok().map(|l| String::from_utf8(l).unwrap()))).collect()
    }

    #[test]
    fn lines_are_cut_wherever_the_pieces_end() {
        let text = "ab\n\ncd\r\nefg";
        let expected: Vec<_> = [(1, "ab"), (3, "cd\r"), (4, "efg")].map(|(n, l)| (n, Some(l.to_owned()))).into();
        for at in 0..text.len() {
            assert_eq!(cut(&[&text[..at], &text[at..]], 9), expected, "{at}");
        }
    }

    #[test]
    fn a_refused_line_keeps_its_id() {
        let id = |line: &str| parse(1, Ok(line.as_bytes().to_vec())).1.map(|id| id.get().to_owned());
        for line in [r#"{"id": 7, "txt": "a"}"#, r#"{"id": 7, "text": 1}"#, r#"{"text": "a", "id": 7}"#] {
            assert_eq!(id(line).as_deref(), Some("7"), "{line}");
        }
        assert!(parse(1, Ok(br#"{"id": 7, "txt": "a"}"#.to_vec())).2.is_err());
        assert_eq!((id("{"), id(&format!(r#"{{"id": "{}", "text": ""}}"#, "a".repeat(2000)))), (None, None));
    }

    #[test]
    fn a_line_that_is_too_long_is_dropped_alone() {
        for pieces in [&["a\nbcdef\ng"][..], &["a\nbc", "de", "f\ng"]] {
            assert_eq!(cut(pieces, 3), [(1, Some("a".into())), (2, None), (3, Some("g".into()))]);
        }
    }
}
