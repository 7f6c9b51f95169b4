//! HTTP client of the Hugging Face hub, configured by environment variables.

use std::time::Duration;

use ureq::config::RedirectAuthHeaders;
use ureq::http::Response;
use ureq::{Agent, Body};

use super::cache::{token, variable};
use crate::error::HubProblem;

/// URL of the hub, unless `HF_ENDPOINT` is set.
const HUB: &str = "https://huggingface.co";
/// Maximum time for connecting, and for waiting until the next bytes of a response arrive.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// Maximum size in bytes of a response that is not a file, such as a list of files.
const MOST_BYTES: u64 = 64 << 20;

pub(super) struct Client {
    agent: Agent,
    endpoint: String,
    token: Option<String>,
}

impl Client {
    pub(super) fn from_environment() -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            // A renamed repository needs the token after its redirect; a file store on another host must not get it.
            .redirect_auth_headers(RedirectAuthHeaders::SameHost)
            .user_agent(concat!("dht-transformer/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(LONGEST_WAIT))
            .timeout_per_read(Some(LONGEST_WAIT));
        let endpoint = variable("HF_ENDPOINT").unwrap_or_else(|| HUB.into());
        Self { agent: config.build().into(), endpoint: endpoint.trim_end_matches('/').into(), token: token() }
    }

    /// Requests a resource of the hub from byte `from` on. `what` names the resource in errors.
    pub(super) fn get(&self, what: &str, address: &str, from: u64) -> Result<Response<Body>, HubProblem> {
        let mut request = self.agent.get(format!("{}/{address}", self.endpoint));
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if from > 0 {
            request = request.header("range", format!("bytes={from}-"));
        }
        request.call().map_err(|source| HubProblem::Request { what: what.into(), source: source.into() })
    }

    /// Downloads a text from the hub, such as a list of files.
    pub(super) fn text(&self, what: &str, address: &str) -> Result<String, HubProblem> {
        let mut response = self.get(what, address, 0)?;
        let status = response.status();
        if !status.is_success() {
            return Err(status_problem(what, status.as_u16()));
        }
        let text = response.body_mut().with_config().limit(MOST_BYTES).read_to_string();
        text.map_err(|source| HubProblem::Request { what: what.into(), source: source.into() })
    }
}

pub(super) fn status_problem(what: &str, status: u16) -> HubProblem {
    let meaning = match status {
        401 | 403 => "it is not there, or needs a login (set HF_TOKEN to a token that may read it)",
        404 => "there is no such repository, revision or file",
        429 => "too many requests, try again later",
        500.. => "the hub has failed, try again later",
        _ => "not what was expected",
    };
    HubProblem::Status { what: what.into(), status, meaning }
}

/// Percent-encodes a part of a URL, as Python's `urllib.parse.quote` does. `unescaped` is a character that is not
/// encoded.
pub(super) fn encoded(text: &str, unescaped: Option<char>) -> String {
    let sign = |byte: u8| {
        let sign = char::from(byte);
        if sign.is_ascii_alphanumeric() || "-_.~".contains(sign) || unescaped == Some(sign) {
            sign.to_string()
        } else {
            format!("%{byte:02X}")
        }
    };
    text.bytes().map(sign).collect()
}

#[cfg(test)]
mod tests {
    use super::encoded;

    #[test]
    fn addresses_are_encoded_as_by_the_python_library() {
        for (text, all, path) in [
            ("main", "main", "main"),
            ("refs/pr/3", "refs%2Fpr%2F3", "refs/pr/3"),
            ("feature#1", "feature%231", "feature%231"),
            ("a%2Fb", "a%252Fb", "a%252Fb"),
            ("v1@2+x", "v1%402%2Bx", "v1%402%2Bx"),
            ("größer", "gr%C3%B6%C3%9Fer", "gr%C3%B6%C3%9Fer"),
        ] {
            assert_eq!((encoded(text, None), encoded(text, Some('/'))), (all.into(), path.into()));
        }
    }
}
