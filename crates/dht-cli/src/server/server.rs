//! Start and stop of the server, its threads and its signal handling.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;

use dht_dynamic::serving::Service;
use serde_json::json;
use tokio::net::TcpSocket;
use tokio::sync::{Notify, watch};

use super::app::{App, LoadedModel, ModelVersion};
use super::connections::{Port, Table};
use super::log::Log;
use super::monitor::Monitor;
use super::settings::ServerSettings;
use super::{connections, reload, routes};
use crate::error::{Error, Result};
use crate::training::Interruption;

/// Maximum number of connections that wait in the operating system to be accepted.
const BACKLOG: u32 = 1024;

/// Maximum length of a bearer token in bytes. A longer token may not fit into an HTTP header.
const MOST_OF_A_TOKEN: usize = 4096;

/// Running HTTP server. Dropping the value stops the server as [`stop`](Self::stop) does.
///
/// # Examples
/// ```
/// use std::io::{Read, Write};
/// use std::net::TcpStream;
///
/// use dht_cli::{Server, ServerSettings};
/// use dht_dynamic::Engine;
/// use dht_dynamic::transformer::{Pooling, TextClassifier};
/// use dht_toys::{reviews, rng};
///
/// // A program would load a saved model with `Engine::load`.
/// let load = || -> dht_dynamic::Result<Engine> {
///     let mut rng = rng(1);
///     let classifier = TextClassifier::new(reviews::encoder(&mut rng), 2, Pooling::Mean, &mut rng)?;
///     Engine::new(classifier, reviews::tokenizer(), &reviews::labels())
/// };
/// let settings = ServerSettings { address: ([127, 0, 0, 1], 0).into(), log: false, ..ServerSettings::default() };
/// let server = Server::start(load, settings)?;
///
/// let mut stream = TcpStream::connect(server.address())?;
/// stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
/// let mut response = String::new();
/// stream.read_to_string(&mut response)?;
/// assert!(response.starts_with("HTTP/1.1 200"));
/// server.stop();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    metrics_address: Option<SocketAddr>,
    service: Arc<Service>,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Starts a server: loads a model, binds the address, and answers on separate threads. `load` is also called for
    /// each reload.
    ///
    /// # Errors
    /// Errors of loading. [`Error::Argument`] if `cors` has an origin that browsers never send, the token cannot be
    /// sent in a header, or a limit is 0. Errors of [`Service::start`]; [`Error::Io`] if the address cannot be bound.
    pub fn start<M: Into<LoadedModel> + 'static, E: Into<Error> + 'static>(
        load: impl Fn() -> Result<M, E> + Send + Sync + 'static,
        settings: ServerSettings,
    ) -> Result<Self> {
        Self::start_with(load, settings, false)
    }

    /// Starts a server as [`start`](Self::start) does. With `signals`, SIGTERM and SIGINT stop it, and SIGHUP reloads
    /// the model.
    pub(crate) fn start_with<M: Into<LoadedModel> + 'static, E: Into<Error> + 'static>(
        load: impl Fn() -> Result<M, E> + Send + Sync + 'static,
        settings: ServerSettings,
        signals: bool,
    ) -> Result<Self> {
        let of_header =
            |token: &String| token.len() <= MOST_OF_A_TOKEN && token.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        if settings.token.as_ref().is_some_and(|token| !of_header(token)) {
            let expected = format!("one line of at most {MOST_OF_A_TOKEN} visible ASCII characters");
            return Err(Error::Argument { flag: "token-file", expected, got: "something else".into() });
        }
        settings.limits.check()?;
        let port = settings.address.port();
        if port != 0 && settings.metrics_port == Some(port) {
            return Err(Error::argument("metrics-port", "another port than --port", port));
        }
        let load = move || load().map(Into::into).map_err(Into::into);
        let address = settings.address;
        let at_address = |source| Error::Io { path: address.to_string().into(), source };
        let cores = settings.threads();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(cores.clamp(1, 4))
            .max_blocking_threads(cores.max(2))
            .thread_name("http")
            .enable_all()
            .build()
            .map_err(at_address)?;
        // If a signal to reload arrives while the model is being loaded, it is loaded once more.
        let signals =
            if signals { Some(runtime.block_on(async { Signals::new() }).map_err(at_address)?) } else { None };
        let (stop, stopping) = watch::channel(false);
        let of_metrics =
            |error: prometheus::Error| Error::Io { path: "metrics".into(), source: std::io::Error::other(error) };
        let monitor = Monitor::new().map_err(of_metrics)?;
        let port = Arc::new(Port {
            connections: Table::default(),
            limits: settings.limits.clone(),
            log: Arc::new(Log::start(!settings.log)),
            responses: monitor.metrics.responses.clone(),
            stopping,
        });
        // Binding reports a port that is in use before the model is loaded. Listening begins only once the model is
        // loaded.
        let socket = runtime.block_on(async { bind(address) }).map_err(at_address)?;
        let metrics_address = match settings.metrics_port {
            Some(number) => {
                Some(runtime.block_on(serve_metrics(SocketAddr::new(address.ip(), number), &port, &monitor))?)
            }
            None => None,
        };
        let LoadedModel { engine, sha256 } = load()?;
        let service = Arc::new(Service::start(engine, settings.service.clone())?);
        let version = ModelVersion::now(sha256);
        let metrics = monitor.metrics.clone();
        let app = Arc::new(App::new(service.clone(), version, Box::new(load), settings, port.clone(), metrics));
        let router = routes::router(app.clone()).map_err(|got| Error::Argument {
            flag: "cors",
            expected: "origins as browsers send them, such as https://example.org or http://localhost:3000, without a path; or *".into(),
            got,
        })?;
        let listener = runtime.block_on(async { socket.listen(BACKLOG) }).map_err(at_address)?;
        let address = listener.local_addr().map_err(at_address)?;
        if signals.is_some() {
            Interruption::leave_to_server();
        }
        let _ = monitor.app.set(app.clone());
        app.log.event("listening", json!({ "address": address.to_string() }));
        let (own, ended, on_signal) = (service.clone(), app.clone(), stop.clone());
        let run = move || {
            runtime.block_on(async {
                if let Some(signals) = signals {
                    tokio::spawn(signals.obey(app.clone(), on_signal));
                }
                let service = app.service.clone();
                connections::serve(port, router, listener, move || service.stop()).await;
            });
            runtime.shutdown_timeout(std::time::Duration::from_secs(1));
            let done = own.metrics();
            ended.log.event("stopped", json!({ "accepted": done.accepted, "answered": done.answered }));
            ended.log.close();
        };
        let thread = std::thread::Builder::new().name("server".into()).spawn(run).map_err(at_address)?;
        Ok(Self { address, metrics_address, service, stop, thread: Some(thread) })
    }

    /// Address on which the server listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Address of the port for metrics, if there is one.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics_address
    }

    /// Service that computes the answers.
    pub fn service(&self) -> &Service {
        &self.service
    }

    /// Stops the server: no further connections are accepted. Returns when the accepted requests are answered, or after
    /// the time [`grace`](super::Limits::grace).
    pub fn stop(self) {
        drop(self.stop_and_keep());
    }

    /// Stops the server as [`stop`](Self::stop) does. Returns the service, whose metrics can still be read.
    pub fn stop_and_keep(mut self) -> Arc<Service> {
        let _ = self.stop.send(true);
        self.wait();
        self.service.clone()
    }

    pub(crate) fn wait(&mut self) {
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.stop.send(true);
        self.wait();
    }
}

/// Serves the port for metrics until the runtime ends. Returns its address.
async fn serve_metrics(address: SocketAddr, server: &Port, monitor: &Arc<Monitor>) -> Result<SocketAddr> {
    let at_address = |source| Error::Io { path: format!("--metrics-port: {address}").into(), source };
    let listener = bind(address).and_then(|socket| socket.listen(BACKLOG)).map_err(at_address)?;
    let address = listener.local_addr().map_err(at_address)?;
    // The port stays open until the process ends, so that the end of a drain can be observed.
    let (open, stopping) = watch::channel(false);
    let port = Port {
        connections: Table::default(),
        limits: server.limits.clone(),
        log: server.log.clone(),
        responses: server.responses.clone(),
        stopping,
    };
    let router = monitor.clone().router();
    tokio::spawn(async move {
        connections::serve(Arc::new(port), router, listener, || {}).await;
        drop(open);
    });
    Ok(address)
}

/// Binds a socket that does not listen yet.
fn bind(address: SocketAddr) -> std::io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    #[cfg(not(windows))]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// Receiver of the signals to stop and to reload, including signals that arrive before it is awaited.
#[cfg(unix)]
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    hangup: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};

        let (terminate, interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        Ok(Self { terminate, interrupt, hangup: signal(SignalKind::hangup())? })
    }

    /// Handles signals: drains and stops the server on SIGTERM and SIGINT, and reloads the model on SIGHUP.
    async fn obey(mut self, app: Arc<App>, stop: watch::Sender<bool>) {
        // Loading takes long. Signals that arrive meanwhile request one more reload.
        let (reload_requested, own) = (Arc::new(Notify::new()), app.clone());
        let reload = reload_requested.clone();
        let reloads = tokio::spawn(async move {
            loop {
                reload.notified().await;
                let _ = reload::load(own.clone()).await;
            }
        });
        loop {
            tokio::select! {
                _ = self.terminate.recv() => break,
                _ = self.interrupt.recv() => break,
                _ = self.hangup.recv() => reload_requested.notify_one(),
            }
        }
        reloads.abort();
        let drain = app.settings.limits.drain;
        if !drain.is_zero() {
            app.draining.store(true, std::sync::atomic::Ordering::Relaxed);
            app.log.event("draining", json!({ "seconds": drain.as_secs() }));
            tokio::select! {
                () = tokio::time::sleep(drain) => {}
                _ = self.terminate.recv() => {}
                _ = self.interrupt.recv() => {}
            }
        }
        app.log.event("stopping", json!({}));
        let _ = stop.send(true);
    }
}

/// Receiver of Ctrl-C, on platforms without signals.
#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self)
    }

    /// Stops the server on Ctrl-C.
    async fn obey(self, app: Arc<App>, stop: watch::Sender<bool>) {
        if tokio::signal::ctrl_c().await.is_ok() {
            app.log.event("stopping", json!({}));
            let _ = stop.send(true);
        }
    }
}
