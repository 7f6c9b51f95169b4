//! Settings of a server: address, access and limits.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use dht_dynamic::serving::ServiceSettings;
use tokio::sync::Semaphore;

use crate::error::{Error, Result};

/// Largest value of the limits of texts, requests and connections.
const MOST: usize = 1 << 20;

/// Settings of a [`Server`](super::Server).
///
/// # Examples
/// ```
/// use dht_cli::ServerSettings;
///
/// let settings = ServerSettings { name: "reviews".into(), ..ServerSettings::default() };
/// assert_eq!(settings.address.to_string(), "127.0.0.1:8080");
/// assert!(settings.token.is_none() && settings.log);
/// ```
#[derive(Debug, Clone)]
pub struct ServerSettings {
    /// Address at which the server listens; port 0 selects a free port.
    pub address: SocketAddr,
    /// Port for `/metrics` and probes without a token, at the same address; 0 selects a free port.
    pub metrics_port: Option<u16>,
    /// Number of threads that tokenise; all cores if not set.
    pub threads: Option<usize>,
    /// Name of the model in `/info`, `/v1/models` and requests.
    pub name: String,
    /// Device that the response header `x-compute-type` names: `cpu`, `cuda` or `metal`.
    pub device: String,
    /// Type of the model's weights in `/info`.
    pub dtype: String,
    /// Bearer token that requests require. Without a token, every request is answered and no reload is accepted.
    pub token: Option<String>,
    /// Host names by which a server without a token may be addressed, besides IP addresses and localhost; `*` allows
    /// any. This protects the server from web pages whose host name was made to resolve to this machine (DNS
    /// rebinding).
    pub hosts: Vec<String>,
    /// Origins whose pages may read answers (CORS).
    pub cors: Vec<String>,
    /// True to truncate long texts in `/predict` if the request does not set `truncate`.
    pub auto_truncate: bool,
    /// True to accept a reloaded model with other labels. Otherwise, the present model stays.
    pub allow_other_labels: bool,
    /// True to log requests. Failures of the server are always logged.
    pub log: bool,
    /// Limits of requests and connections.
    pub limits: Limits,
    /// Limits of the queue and the batches.
    pub service: ServiceSettings,
}

/// Limits of a server on requests and connections.
///
/// # Examples
/// ```
/// use std::time::Duration;
///
/// use dht_cli::{Limits, ServerSettings};
///
/// let limits = Limits { deadline: Duration::from_secs(2), ..Limits::default() };
/// assert_eq!((limits.texts, limits.body_bytes), (256, 2_000_000));
/// let settings = ServerSettings { limits, ..ServerSettings::default() };
/// assert_eq!(settings.limits.deadline.as_secs(), 2);
/// ```
#[derive(Debug, Clone)]
pub struct Limits {
    /// Maximum size of a request's body in bytes, and of one line in a stream.
    pub body_bytes: usize,
    /// Maximum total size in bytes of the bodies that are being read.
    pub all_body_bytes: usize,
    /// Maximum number of texts in a request.
    pub texts: usize,
    /// Maximum number of requests in progress.
    pub requests: usize,
    /// Maximum number of connections. At the limit, the connection that has waited longest for its client is closed. If
    /// no connection waits, a further connection is only answered on `/health`.
    pub connections: usize,
    /// Time limit from the last byte of a request to its answer, unless the request sets a shorter limit.
    pub deadline: Duration,
    /// Time limit for receiving the head of a request, and again for its body.
    pub reading: Duration,
    /// Time limit for a response that waits for its client to read. A client that reads less than 1 KiB per second over
    /// this time counts as not reading.
    pub writing: Duration,
    /// Time after which a connection without a request is closed.
    pub idle: Duration,
    /// Time limit of a reload, after which the present model stays.
    pub reload: Duration,
    /// Time during which requests are still accepted after a signal to stop, while `/health` answers with status 503.
    pub drain: Duration,
    /// Time limit for accepted requests after the server was asked to stop.
    pub grace: Duration,
}

impl ServerSettings {
    /// Number of threads that tokenise: the configured number, or by default the number of cores.
    pub(super) fn threads(&self) -> usize {
        self.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from))
    }
}

impl Limits {
    /// Rejects limits that would refuse every request.
    ///
    /// # Errors
    /// [`Error::Argument`] with the flag if a limit is out of range.
    pub(super) fn check(&self) -> Result<()> {
        let counts = [
            ("max-body-bytes", self.body_bytes, Semaphore::MAX_PERMITS),
            ("max-texts", self.texts, MOST),
            ("max-requests", self.requests, MOST),
            ("max-connections", self.connections, MOST),
        ];
        for (flag, count, most) in counts {
            if !(1..=most).contains(&count) {
                let expected = format!("1 to {most}");
                return Err(Error::argument(flag, expected, count));
            }
        }
        let times = [
            ("deadline-ms", self.deadline),
            ("read-timeout-ms", self.reading),
            ("write-timeout-ms", self.writing),
            ("idle-timeout-ms", self.idle),
            ("reload-timeout-seconds", self.reload),
        ];
        if let Some((flag, _)) = times.into_iter().find(|(_, time)| time.is_zero()) {
            return Err(Error::argument(flag, "at least 1", 0));
        }
        Ok(())
    }
}

impl Default for ServerSettings {
    fn default() -> Self {
        Self {
            address: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080),
            metrics_port: None,
            threads: None,
            name: "model".into(),
            device: "cpu".into(),
            dtype: "float32".into(),
            token: None,
            hosts: Vec::new(),
            cors: Vec::new(),
            auto_truncate: true,
            allow_other_labels: false,
            log: true,
            limits: Limits::default(),
            service: ServiceSettings::default(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 2_000_000,
            all_body_bytes: 256 << 20,
            texts: 256,
            requests: 512,
            connections: 1024,
            deadline: Duration::from_secs(10),
            reading: Duration::from_secs(10),
            writing: Duration::from_secs(10),
            idle: Duration::from_secs(75),
            reload: Duration::from_secs(600),
            drain: Duration::ZERO,
            grace: Duration::from_secs(30),
        }
    }
}
