//! Log on standard error with one JSON object per line. The log never contains a text of a request.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::progress::{is_hidden, report};

/// Maximum number of lines that wait to be written. Further lines are dropped, so that a slow reader does not delay
/// requests.
const WAITING: usize = 1024;

/// Time limit for writing the last lines when the log closes.
const CLOSING: Duration = Duration::from_secs(2);

/// Escapes the characters in JSON that a terminal would obey, by JSON's own escapes.
fn escaped(json: &str) -> String {
    let mut shown = String::with_capacity(json.len());
    for sign in json.chars() {
        match is_hidden(sign) {
            true => shown.push_str(&format!("\\u{:04x}", u32::from(sign))),
            false => shown.push(sign),
        }
    }
    shown
}

/// Log whose lines a separate thread writes.
#[derive(Debug)]
pub(super) struct Log {
    /// True if only failures are written.
    quiet: bool,
    /// Channel of the lines to write; `None` ends the log.
    lines: Option<SyncSender<Option<String>>>,
    dropped: AtomicU64,
    /// Channel that disconnects once the last line is written.
    written: Mutex<Receiver<()>>,
}

impl Log {
    /// Starts a log. A quiet log writes failures only.
    pub(super) fn start(quiet: bool) -> Self {
        let (sender, lines) = sync_channel::<Option<String>>(WAITING);
        let (end, written) = sync_channel(1);
        let write = move || {
            lines.into_iter().map_while(|line| line).for_each(|line| report(&line));
            drop(end);
        };
        let started = std::thread::Builder::new().name("log".into()).spawn(write).is_ok();
        Self { quiet, lines: started.then_some(sender), dropped: AtomicU64::new(0), written: Mutex::new(written) }
    }

    /// Writes an event with its fields, unless the log is quiet.
    pub(super) fn event(&self, event: &str, fields: Value) {
        if !self.quiet {
            self.failure(event, fields);
        }
    }

    /// Writes an event even if the log is quiet: a failure, or a change of the labels.
    pub(super) fn failure(&self, event: &str, fields: Value) {
        let Some(lines) = &self.lines else { return };
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
        let mut line = json!({ "time": (seconds * 1e3).round() / 1e3, "event": event });
        if let (Value::Object(line), Value::Object(fields)) = (&mut line, fields) {
            line.extend(fields);
            let dropped = self.dropped.swap(0, Ordering::Relaxed);
            if dropped > 0 {
                line.insert("lines_dropped_before".into(), dropped.into());
            }
        }
        if lines.try_send(Some(escaped(&line.to_string()))).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until all lines are written, unless nobody reads the log. Later events are dropped.
    pub(super) fn close(&self) {
        if self.lines.as_ref().is_some_and(|lines| lines.try_send(None).is_ok()) {
            let written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
            let _ = written.recv_timeout(CLOSING);
        }
    }
}
