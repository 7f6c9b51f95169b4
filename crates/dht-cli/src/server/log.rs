//! Log on standard error, with one JSON object per line. It never contains texts of requests.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::progress::{is_hidden, report};

/// Maximum number of log lines that wait to be written. Further lines are dropped, so that a slow reader of the log
/// does not delay requests.
const WAITING: usize = 1024;

/// Time limit for writing the remaining lines when the log is closed.
const CLOSING: Duration = Duration::from_secs(2);

/// Escapes the characters of a JSON text that a terminal would interpret.
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

/// Log that a separate thread writes.
#[derive(Debug)]
pub(super) struct Log {
    /// True to write failures only.
    quiet: bool,
    /// Channel to the writing thread, with the lines to write; `None` ends the thread.
    lines: Option<SyncSender<Option<String>>>,
    dropped: AtomicU64,
    /// Channel from the writing thread, which is disconnected when the last line has been written.
    written: Mutex<Receiver<()>>,
}

impl Log {
    /// Starts the log. With `quiet`, only failures are written.
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

    /// Writes an event even if the log is quiet, for failures and changed labels.
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

    /// Closes the log: waits until all lines are written, but at most for a time limit. Later events are dropped.
    pub(super) fn close(&self) {
        if self.lines.as_ref().is_some_and(|lines| lines.try_send(None).is_ok()) {
            let written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
            let _ = written.recv_timeout(CLOSING);
        }
    }
}
