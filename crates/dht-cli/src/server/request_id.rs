//! Identifiers of a request: `X-Request-Id` and W3C trace context.

use std::hash::{BuildHasher, Hasher, RandomState};

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Map, Value};

/// Maximum size in bytes of a request id that a client sends.
const ID_BYTES: usize = 128;
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Header of the W3C trace context: version, trace id, span id of the caller, and flags.
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Identifiers of a request, for its response headers and its log line.
pub(super) struct RequestIds {
    request: String,
    trace: Option<Trace>,
}

/// Trace context of a request (W3C).
#[derive(Debug, PartialEq)]
struct Trace {
    id: String,
    /// Span id of the caller.
    parent: String,
    /// Span id of this request.
    span: String,
    flags: String,
}

impl RequestIds {
    /// Reads the client's request id and trace context. Without a request id, generates a random one.
    pub(super) fn new(headers: &HeaderMap) -> Self {
        let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        let is_visible =
            |id: &&str| (1..=ID_BYTES).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic());
        let request = text(REQUEST_ID).filter(is_visible).map_or_else(|| random_hex(16), ToOwned::to_owned);
        // Two trace contexts count as none.
        let is_single = headers.get_all(TRACEPARENT).iter().count() == 1;
        Self { request, trace: text(TRACEPARENT).filter(|_| is_single).and_then(Trace::parse) }
    }

    /// Adds the identifiers to the response headers.
    pub(super) fn add_headers(&self, headers: &mut HeaderMap) {
        if let Ok(id) = HeaderValue::from_str(&self.request) {
            headers.insert(REQUEST_ID, id);
        }
        let traceparent = self.trace.as_ref().map(|trace| format!("00-{}-{}-{}", trace.id, trace.span, trace.flags));
        if let Some(Ok(traceparent)) = traceparent.map(|traceparent| HeaderValue::from_str(&traceparent)) {
            headers.insert(TRACEPARENT, traceparent);
        }
    }

    pub(super) fn add_fields(&self, line: &mut Map<String, Value>) {
        line.insert("request_id".into(), self.request.clone().into());
        if let Some(trace) = &self.trace {
            for (name, value) in [("trace_id", &trace.id), ("span_id", &trace.span), ("parent_span_id", &trace.parent)]
            {
                line.insert(name.into(), value.clone().into());
            }
        }
    }
}

impl Trace {
    /// Parses a `traceparent` header; `None` if it violates the W3C recommendation.
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(5, '-');
        let mut hex = |digits: usize| {
            let part = parts.next()?;
            let is_hex = part.len() == digits && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
            is_hex.then(|| part.to_owned())
        };
        let (version, id, parent, flags) = (hex(2)?, hex(32)?, hex(16)?, hex(2)?);
        let is_zero = |id: &str| id.bytes().all(|byte| byte == b'0');
        // A later version may have more parts.
        let fits = version != "ff" && (version != "00" || parts.next().is_none());
        (fits && !is_zero(&id) && !is_zero(&parent)).then(|| Self { id, parent, span: random_hex(8), flags })
    }
}

/// Generates `bytes` random bytes as lower-case hexadecimal digits, not all of them 0.
pub(super) fn random_hex(bytes: usize) -> String {
    // The standard library seeds each hasher state anew.
    let mut digits: String =
        (0..bytes.div_ceil(8)).map(|_| format!("{:016x}", RandomState::new().build_hasher().finish().max(1))).collect();
    digits.truncate(2 * bytes);
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_trace_keeps_its_id_and_gets_a_span() {
        let trace = Trace::parse(TRACE).unwrap();
        assert_eq!((&*trace.id, &*trace.parent, &*trace.flags), (&TRACE[3..35], &TRACE[36..52], "01"));
        assert!(trace.span != trace.parent && trace.span.len() == 16);
        assert!(Trace::parse(&format!("01{}-later", &TRACE[2..])).is_some());
    }

    #[test]
    fn an_invalid_trace_is_ignored() {
        let zero = |from: usize, to: usize| format!("{}{}{}", &TRACE[..from], "0".repeat(to - from), &TRACE[to..]);
        let upper = TRACE.to_uppercase();
        for invalid in [
            "",
            "00",
            &TRACE[..54],
            &format!("{TRACE}-more"),
            &format!("ff{}", &TRACE[2..]),
            &upper,
            &zero(3, 35),
            &zero(36, 52),
        ] {
            assert_eq!(Trace::parse(invalid), None, "{invalid}");
        }
    }

    #[test]
    fn a_request_id_of_invisible_or_many_bytes_is_replaced() {
        let id = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(REQUEST_ID, HeaderValue::from_str(value).unwrap());
            RequestIds::new(&headers).request
        };
        assert_eq!(id("a-1"), "a-1");
        for replaced in ["", "a b", &"a".repeat(129)] {
            let own = id(replaced);
            assert!(own != replaced && own.len() == 32, "{own}");
        }
        assert_ne!(random_hex(16), random_hex(16));
    }
}
