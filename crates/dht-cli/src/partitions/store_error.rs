//! Errors of an object store, with advice on the setting to change.

use std::error::Error as StdError;
use std::path::Path;

use object_store::Error as StoreError;

use crate::error::Error;

const CREDENTIALS: &str = "check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN";
const REGION: &str = "set AWS_REGION to the region of the bucket";
const BUCKET: &str = "check the name of the bucket, AWS_ENDPOINT_URL and AWS_REGION";
const RIGHTS: &str = "these credentials need the rights to list, get, put and delete objects there";
const CLOCK: &str = "set the clock of this machine";
const CONDITIONS: &str = "use a store with conditional requests (If-None-Match and If-Match)";
const ANSWER: &str = "check AWS_ENDPOINT_URL and the network, and run the command again";

/// Converts the error of a request to an object store. The result is [`Error::Store`] if all other requests would fail
/// for the same reason.
pub(super) fn explain(url: &Path, error: StoreError) -> Error {
    let text = error.to_string();
    let (status, code) = (status(&text), code(&text));
    let known = match (status, code) {
        (_, Some("NoSuchBucket")) => Some(("there is no such bucket", BUCKET)),
        (_, Some("RequestTimeTooSkewed")) => Some(("the store refuses the time of the request", CLOCK)),
        (
            _,
            Some(
                "InvalidAccessKeyId"
                | "SignatureDoesNotMatch"
                | "InvalidToken"
                | "ExpiredToken"
                | "TokenRefreshRequired"
                | "AuthFailure"
                | "InvalidClientTokenId",
            ),
        ) => Some(("the store refuses the credentials", CREDENTIALS)),
        (_, Some("AuthorizationHeaderMalformed" | "PermanentRedirect" | "TemporaryRedirect"))
        | (Some(301 | 302 | 307 | 308), _) => Some(("the bucket is in another region", REGION)),
        (Some(501), _) | (_, Some("NotImplemented")) => Some(("the store does not support this request", CONDITIONS)),
        (Some(401 | 403), code) => {
            let cause = code.unwrap_or("without a reason");
            let source = std::io::Error::other(format!("the store denies access ({cause}): {RIGHTS}"));
            return Error::Io { path: url.into(), source };
        }
        (Some(408 | 429 | 500..), _) => Some(("the store fails, also after repetitions", ANSWER)),
        (None, _) if text.contains("Received redirect") => Some(("the bucket is in another region", REGION)),
        (None, _) if is_unanswered(&text) => Some(("the store does not answer", ANSWER)),
        _ => None,
    };
    let Some((problem, advice)) = known else { return Error::Io { path: url.into(), source: error.into() } };
    let cause = match (status, code) {
        (Some(status), Some(code)) => format!("{status} {code}"),
        (Some(status), None) => status.to_string(),
        _ => innermost(&error),
    };
    Error::Store { path: url.into(), problem: format!("{problem} ({cause})"), advice }
}

/// Creates the error for missing credentials.
pub(super) fn without_credentials(url: &str, cause: &str) -> Error {
    Error::Store {
        path: url.into(),
        problem: format!("no credentials were found ({cause})"),
        advice: "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (files such as ~/.aws/credentials are not read), \
                 or AWS_SKIP_SIGNATURE=true for a public bucket",
    }
}

/// Creates the error for an environment variable whose value cannot be sent in a request.
pub(super) fn of_variable(url: &str, name: &str, advice: &'static str) -> Error {
    Error::Store { path: url.into(), problem: format!("{name} cannot be used"), advice }
}

/// Returns whether the store reports that the bucket does not exist.
pub(super) fn names_bucket(error: &StoreError) -> bool {
    code(&error.to_string()) == Some("NoSuchBucket")
}

/// Returns whether the store has rejected a request without an error code. Responses to HEAD requests never have one,
/// since they have no body.
pub(super) fn is_without_reason(error: &StoreError) -> bool {
    let text = error.to_string();
    matches!(status(&text), Some(400..=403)) && code(&text).is_none()
}

/// Returns whether an error text means that the store did not respond: no connection, or a timeout.
fn is_unanswered(text: &str) -> bool {
    ["error sending request", "timed out", "HTTP connect", "HTTP timeout"].iter().any(|part| text.contains(part))
}

/// Extracts the HTTP status from an error text.
fn status(text: &str) -> Option<u16> {
    let (_, rest) = text.split_once("status code: ")?;
    rest.get(..3)?.parse().ok()
}

/// Extracts the store's error code, such as `NoSuchBucket`, from an XML response.
fn code(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("<Code>")?;
    rest.split_once("</Code>").map(|(code, _)| code)
}

pub(super) fn innermost(error: &StoreError) -> String {
    let mut cause: &dyn StdError = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}
