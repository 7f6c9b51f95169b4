//! Reading of request bodies, within limits of size and time.

use std::borrow::Cow;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, header};
use dht_dynamic::transformer::data::TextFormat;
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;
use tokio::sync::OwnedSemaphorePermit;

use super::app::App;
use super::refusal::{ErrorType, Refusal};

/// Maximum size of a refused body that is read and dropped, as a multiple of the maximum body size.
const DRAINED: usize = 8;
/// Time limit for reading the rest of a refused body.
const DRAINING: Duration = Duration::from_secs(1);

/// Body of a request, with the permit that counts its bytes towards the memory limit of all bodies.
pub(super) struct Content {
    pub(super) bytes: Vec<u8>,
    _room: Option<OwnedSemaphorePermit>,
}

/// Format of a request body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ContentType {
    Json,
    /// JSON lines: one object on each line.
    Lines,
}

/// Determines the format of a body from the request headers. Compressed bodies are refused.
pub(super) fn content_type(headers: &HeaderMap) -> Result<ContentType, Refusal> {
    let encoding = headers.get(header::CONTENT_ENCODING).map(|value| value.to_str().unwrap_or("something else"));
    if let Some(encoding) = encoding.filter(|encoding| !encoding.trim().eq_ignore_ascii_case("identity")) {
        return Err(Refusal::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            ErrorType::Validation,
            format!("Content-Encoding is {encoding}, expected none: send the body uncompressed"),
        ));
    }
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("none");
    let kind = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match &*kind {
        "application/json" => Ok(ContentType::Json),
        "application/x-ndjson" | "application/jsonl" | "application/x-jsonlines" => Ok(ContentType::Lines),
        _ => Err(Refusal::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            ErrorType::Validation,
            format!("Content-Type is {value}, expected application/json"),
        )),
    }
}

/// Parses a JSON object. A JSON list of the fields' values, which serde would accept, is refused. A lone surrogate,
/// from a client that truncates a text within an emoji, becomes U+FFFD.
pub(super) fn object<T: DeserializeOwned>(json: &[u8]) -> Result<T, Refusal> {
    if json.trim_ascii_start().starts_with(b"[") {
        return Err(Refusal::unprocessable("a list is not a request, expected an object"));
    }
    serde_json::from_slice(json).or_else(|error| {
        let refused = || Refusal::json(&error);
        let json = std::str::from_utf8(json).map_err(|_| refused())?;
        match TextFormat::replace_lone_surrogates(json) {
            Cow::Borrowed(_) => Err(refused()),
            Cow::Owned(replaced) => serde_json::from_str(&replaced).map_err(|error| Refusal::json(&error)),
        }
    })
}

pub(super) async fn read(app: &App, headers: &HeaderMap, mut body: Body) -> Result<Content, Refusal> {
    let limits = &app.settings.limits;
    let most = limits.body_bytes;
    let too_large = || Refusal::too_large(format!("the body has more than {most} bytes: send several requests"));
    let declared = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if declared.is_some_and(|length| length > most as u64) {
        drain(&mut body, most).await;
        return Err(too_large());
    }
    let mut content = Content { bytes: Vec::new(), _room: None };
    let read = async {
        while let Some(frame) = body.frame().await {
            let broken = |_| Refusal::new(StatusCode::BAD_REQUEST, ErrorType::Validation, "the body ended too early");
            let Ok(data) = frame.map_err(broken)?.into_data() else { continue };
            if content.bytes.len() + data.len() > most {
                return Err(too_large());
            }
            content.take_room(app, data.len())?;
            content.bytes.extend_from_slice(&data);
        }
        Ok(())
    };
    match tokio::time::timeout(limits.reading, read).await {
        Ok(Ok(())) => Ok(content),
        Ok(Err(refusal)) => {
            drain(&mut body, most).await;
            Err(refusal)
        }
        Err(_) => Err(Refusal::new(
            StatusCode::REQUEST_TIMEOUT,
            ErrorType::Validation,
            format!("the body took longer than {:?}", limits.reading),
        )),
    }
}

/// Reads and drops the rest of a refused body, within limits of size and time; `most` is the maximum body size. A
/// client whose connection is closed while it sends could lose the response.
pub(super) async fn drain(body: &mut Body, most: usize) {
    let read = async {
        let mut left = DRAINED.saturating_mul(most);
        while let Some(Ok(frame)) = body.frame().await {
            left = left.saturating_sub(frame.data_ref().map_or(0, |data| data.len()));
            if left == 0 {
                break;
            }
        }
    };
    let _ = tokio::time::timeout(DRAINING, read).await;
}

impl Content {
    fn take_room(&mut self, app: &App, bytes: usize) -> Result<(), Refusal> {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let busy = |_| Refusal::overloaded("too many large requests at once: try again later");
        let room = app.body_bytes.clone().try_acquire_many_owned(bytes).map_err(busy)?;
        match &mut self._room {
            Some(own) => own.merge(room),
            None => self._room = Some(room),
        }
        Ok(())
    }
}
