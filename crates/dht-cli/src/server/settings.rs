//! Where a server listens, whom it answers and how much it takes.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use dht_dynamic::serving::ServiceSettings;

use crate::error::{Error, Result};

/// The most texts, requests and connections.
const MOST: usize = 1 << 20;

/// The settings of a [`Server`](super::Server).
#[derive(Debug, Clone)]
pub struct ServerSettings {
    /// Where it listens; port 0 for any that is free.
    pub address: SocketAddr,
    /// What the model is called in `/info`.
    pub name: String,
    /// The token that requests have to bring; without one anybody may ask, and nobody may reload.
    pub token: Option<String>,
    /// The origins whose pages may read answers.
    pub cors: Vec<String>,
    /// Whether `/predict` truncates long texts where the request does not say.
    pub auto_truncate: bool,
    /// Whether requests are logged; failures of the server always are.
    pub log: bool,
    /// The limits.
    pub limits: Limits,
    /// The limits of queue and batches.
    pub service: ServiceSettings,
}

/// How much a server takes.
#[derive(Debug, Clone)]
pub struct Limits {
    /// The most bytes of a request's body, and of a line of a stream.
    pub body_bytes: usize,
    /// The most bytes of all bodies that are being read.
    pub all_body_bytes: usize,
    /// The most texts of a request.
    pub texts: usize,
    /// The most requests that are worked on at once.
    pub requests: usize,
    /// The most connections. At the limit the one that has waited longest for its client is closed; where none waits, a further connection is
    /// answered by `/health` alone.
    pub connections: usize,
    /// How long a request may take from its last byte to its answer, unless it says less.
    pub deadline: Duration,
    /// How long a client may take for the head of a request, and for its body.
    pub reading: Duration,
    /// How long a response may wait for its client to read; a client that reads less than 1 KiB a second over this time is as one that does not.
    pub writing: Duration,
    /// How long a connection may stay open without a request.
    pub idle: Duration,
    /// How long requests that were taken may go on after the server was told to stop.
    pub grace: Duration,
}

impl Limits {
    /// Refuses limits that let nothing through.
    ///
    /// # Errors
    /// [`Error::Argument`] with the flag of the limit.
    pub(super) fn check(&self) -> Result<()> {
        let counts = [
            ("max-body-bytes", self.body_bytes, usize::MAX),
            ("max-texts", self.texts, MOST),
            ("max-requests", self.requests, MOST),
            ("max-connections", self.connections, MOST),
        ];
        for (flag, count, most) in counts {
            if !(1..=most).contains(&count) {
                let expected = if most == MOST { format!("1 to {MOST}") } else { "at least 1".into() };
                return Err(Error::argument(flag, expected, count));
            }
        }
        let times = [
            ("deadline-ms", self.deadline),
            ("read-timeout-ms", self.reading),
            ("write-timeout-ms", self.writing),
            ("idle-timeout-ms", self.idle),
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
            name: "model".into(),
            token: None,
            cors: Vec::new(),
            auto_truncate: false,
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
            idle: Duration::from_secs(60),
            grace: Duration::from_secs(30),
        }
    }
}
