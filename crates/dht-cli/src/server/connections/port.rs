//! Port on which the server listens.

use std::sync::Arc;

use prometheus::IntCounterVec;
use serde_json::json;
use tokio::sync::watch;

use super::table::Table;
use crate::server::log::Log;
use crate::server::settings::Limits;

/// Route name in metrics and log lines for requests whose head cannot be parsed.
const UNPARSED: &str = "unparsed";

/// Port on which the server listens, with its open connections.
pub(in crate::server) struct Port {
    pub(in crate::server) connections: Table,
    pub(in crate::server) limits: Limits,
    pub(in crate::server) log: Arc<Log>,
    /// Counter of responses by HTTP route and status.
    pub(in crate::server) responses: IntCounterVec,
    /// True when the port should be closed.
    pub(in crate::server) stopping: watch::Receiver<bool>,
}

impl Port {
    pub(in crate::server) fn count(&self, route: &str, status: u16) {
        self.responses.with_label_values(&[route, &status.to_string()]).inc();
    }

    pub(super) fn refused_head(&self, status: u16, reason: &str) {
        self.count(UNPARSED, status);
        self.log.event("request", json!({ "route": UNPARSED, "status": status, "error": reason }));
    }
}
