//! Settings of a server: address, access and limits.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use dht_dynamic::serving::ServiceSettings;
use tokio::sync::Semaphore;

use crate::error::{Error, Result};

/// Largest value that can be set for the limits on texts, requests and connections.
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
    /// Address on which the server listens; port 0 selects a free port.
    pub address: SocketAddr,
    /// Separate port for `/metrics` and health probes without a token, at the same address; 0 selects a free port.
    pub metrics_port: Option<u16>,
    /// Number of threads that tokenise; `None` for the number of cores.
    pub threads: Option<usize>,
    /// Name of the model in `/info`, `/v1/models` and requests.
    pub name: String,
    /// Device in the response header `x-compute-type`: `cpu`, `cuda` or `metal`.
    pub device: String,
    /// Numerical type of the model's weights, for `/info`.
    pub dtype: String,
    /// Bearer token that requests require. Without one, all requests are answered and reloads are refused.
    pub token: Option<String>,
    /// Host names by which clients may address a server without a token, besides IP addresses and localhost; `*` allows
    /// any. This protects against DNS rebinding: web pages whose host name resolves to this machine.
    pub hosts: Vec<String>,
    /// Origins whose web pages may read responses (CORS).
    pub cors: Vec<String>,
    /// Default of `truncate` in `/predict` requests: true to truncate long texts.
    pub auto_truncate: bool,
    /// True to accept a model with other labels in a reload. Otherwise the previous model remains.
    pub allow_other_labels: bool,
    /// True to log requests. Failures are always logged.
    pub log: bool,
    /// Limits on requests and connections.
    pub limits: Limits,
    /// Settings of the service: queue and batches.
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
    /// Maximum size in bytes of a request body, or of a line in a stream.
    pub body_bytes: usize,
    /// Maximum total size in bytes of all bodies that are being read.
    pub all_body_bytes: usize,
    /// Maximum number of texts in a request.
    pub texts: usize,
    /// Maximum number of requests in progress.
    pub requests: usize,
    /// Maximum number of connections. At the limit, the connection that has waited longest for its client is closed. If
    /// none waits, additional connections are only answered on `/health`.
    pub connections: usize,
    /// Time limit from the last byte of a request to its answer. Requests can set a shorter limit.
    pub deadline: Duration,
    /// Time limit for receiving the head of a request, and separately for its body.
    pub reading: Duration,
    /// Time limit for a client that does not read its response, or reads less than 1 KiB per second.
    pub writing: Duration,
    /// Time after which a connection without a request is closed.
    pub idle: Duration,
    /// Time limit of a reload, after which the previous model remains.
    pub reload: Duration,
    /// Time after a stop signal during which requests are still accepted, while `/health` responds with status 503.
    pub drain: Duration,
    /// Time limit for answering accepted requests when the server stops.
    pub grace: Duration,
}

impl ServerSettings {
    /// Number of threads that tokenise; by default the number of cores.
    pub(super) fn threads(&self) -> usize {
        self.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from))
    }
}

impl Limits {
    /// Rejects limits with which every request would be refused.
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
