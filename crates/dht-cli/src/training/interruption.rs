//! Handling of the signals SIGINT and SIGTERM during a command.

use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Arc, Mutex, Once, PoisonError};

use dht_dynamic::transformer::storage::abandon_unfinished_files;

use crate::progress::report;

/// Signal number of SIGINT, also on platforms without signal numbers.
#[cfg(not(unix))]
const INTERRUPT: i32 = 2;

/// Handler of the current work, which a signal interrupts; [`None`] before the work begins, and for commands that print
/// no message.
static CURRENT: Mutex<Option<Interruption>> = Mutex::new(None);
/// True if a server handles signals itself.
static SERVED: AtomicBool = AtomicBool::new(false);

/// Handler of SIGINT and SIGTERM. Before the process ends, temporary files are removed and registered steps are undone.
///
/// During a training loop, the first signal requests that the loop saves its state. Otherwise, and after the first
/// signal, a signal ends the process with exit code 128 + signal number.
#[derive(Clone)]
pub struct Interruption(Arc<State>);

struct State {
    stop: Arc<AtomicBool>,
    /// True during a training loop.
    training: AtomicBool,
    /// Number of the first signal; 0 if there was none.
    signal: AtomicI32,
    message: Box<dyn Fn() -> String + Send + Sync>,
}

impl Interruption {
    /// Installs the handler, once in a process. Until [`watch`](Self::watch) sets a message, a signal ends the process
    /// without a message. If the handler cannot be installed, signals have their default effect.
    pub fn install() {
        static INSTALLED: Once = Once::new();
        INSTALLED.call_once(handle_signals);
    }

    /// Ignores SIGHUP until a server handles it by reloading the model.
    #[cfg(all(feature = "server", unix))]
    pub fn outlive_hangup() {
        let _ = signal_hook::flag::register(signal_hook::consts::SIGHUP, Arc::default());
    }

    /// Leaves signals to a server, which installs its own handlers.
    #[cfg(feature = "server")]
    pub fn leave_to_server() {
        SERVED.store(true, Ordering::SeqCst);
    }

    /// Starts handling signals for a piece of work. `message` returns a text about how to resume it.
    pub fn watch(message: impl Fn() -> String + Send + Sync + 'static) -> Self {
        let own = Self(Arc::new(State {
            stop: Arc::default(),
            training: AtomicBool::new(false),
            signal: AtomicI32::new(0),
            message: Box::new(message),
        }));
        *CURRENT.lock().unwrap_or_else(PoisonError::into_inner) = Some(own.clone());
        Self::install();
        own
    }

    /// Flag that is set to request a stop, for [`Trainer::stop`](dht_dynamic::transformer::Trainer::stop).
    pub fn stop(&self) -> Arc<AtomicBool> {
        self.0.stop.clone()
    }

    /// Runs a training loop that stops when the flag of [`stop`](Self::stop) is set.
    pub fn during<T>(&self, train: impl FnOnce() -> T) -> T {
        self.obeyed(true);
        let done = train();
        self.obeyed(false);
        done
    }

    /// Sets whether a training loop is running that stops when the flag of [`stop`](Self::stop) is set.
    pub fn obeyed(&self, runs: bool) {
        self.0.training.store(runs, Ordering::SeqCst);
    }

    /// Ends the process if a signal has arrived.
    pub fn exit_if_asked(&self) {
        if self.0.stop.load(Ordering::SeqCst) {
            self.exit(self.0.signal.load(Ordering::SeqCst));
        }
    }

    fn received(&self, signal: i32) {
        let first = self.0.signal.compare_exchange(0, signal, Ordering::SeqCst, Ordering::SeqCst).is_ok();
        if !(first && self.0.training.load(Ordering::SeqCst)) {
            self.exit(signal);
        }
        report(&format!("\n{}: saving the state; a second signal ends at once", name(signal)));
        self.0.stop.store(true, Ordering::SeqCst);
    }

    fn exit(&self, signal: i32) -> ! {
        exit(signal, &format!(": {}", (self.0.message)()))
    }
}

fn exit(signal: i32, message: &str) -> ! {
    abandon_unfinished_files();
    #[cfg(feature = "s3")]
    super::undo_on_signal::undo_all();
    report(&format!("\nstopped by {}{message}", name(signal)));
    std::process::exit(128 + signal)
}

fn received(signal: i32) {
    if SERVED.load(Ordering::SeqCst) {
        return;
    }
    let current = CURRENT.lock().unwrap_or_else(PoisonError::into_inner).clone();
    match current {
        Some(current) => current.received(signal),
        None => exit(signal, ""),
    }
}

#[cfg(unix)]
fn handle_signals() {
    use signal_hook::consts::{SIGINT, SIGTERM};

    let Ok(mut signals) = signal_hook::iterator::Signals::new([SIGINT, SIGTERM]) else { return };
    let _ = std::thread::Builder::new().name("signals".into()).spawn(move || signals.forever().for_each(received));
}

#[cfg(not(unix))]
fn handle_signals() {
    let _ = ctrlc::set_handler(|| received(INTERRUPT));
}

#[cfg(unix)]
fn name(signal: i32) -> &'static str {
    signal_hook::low_level::signal_name(signal).unwrap_or("a signal")
}

#[cfg(not(unix))]
fn name(_: i32) -> &'static str {
    "Ctrl-C"
}
