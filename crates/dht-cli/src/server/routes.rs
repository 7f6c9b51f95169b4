//! HTTP routes of the server, and the middleware of all routes: bearer token, log and headers.

use std::any::Any;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, any, get, post};
use serde_json::json;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::app::App;
use super::body;
use super::connections::Lane;
use super::refusal::{ErrorType, Refusal};
use super::request_id::RequestIds;
use super::{classify, info, monitor, predict, reload, vllm};

/// Paths of health probes, which respond on every connection, to every method and host name, and without a token.
const PROBES: [&str; 4] = ["/health", "/livez", "/ping", "/readyz"];
/// Paths that require no bearer token for GET.
const OPEN: [&str; 2] = ["/", "/openapi.json"];

fn paths() -> Vec<(&'static str, MethodRouter<Arc<App>>)> {
    vec![
        // Clients of text-embeddings-inference may also post to the root.
        ("/", get(info::page).post(predict::predict)),
        ("/predict", post(predict::predict)),
        ("/v1/classify", post(classify::classify)),
        ("/invocations", post(classify::invoke)),
        ("/classify", post(vllm::classify)),
        ("/v1/models", get(vllm::models)),
        ("/v1/reload", post(reload::reload)),
        ("/health", any(monitor::ready_of_app)),
        ("/livez", any(monitor::live)),
        ("/ping", any(monitor::ready_of_app)),
        ("/readyz", any(monitor::ready_of_app)),
        ("/info", get(info::info)),
        ("/metrics", get(monitor::metrics_of_app)),
        ("/openapi.json", get(info::openapi)),
    ]
}

/// Creates the router of all paths with the middleware.
///
/// # Errors
/// A message if `--cors` has an origin that browsers never send.
pub(super) fn router(app: Arc<App>) -> Result<Router, String> {
    let origins = allowed(&app.settings.cors)?;
    let mut router = Router::new();
    for (path, answers) in paths() {
        router = router.route(path, answers);
    }
    router = router
        .fallback(|| async { Refusal::no_path("no such path: see /openapi.json") })
        .method_not_allowed_fallback(|| async { other_method() })
        .layer(from_fn_with_state(app.clone(), with_token))
        .layer(from_fn_with_state(app.clone(), with_host))
        .layer(from_fn_with_state(app.clone(), with_room));
    if let Some(origins) = origins {
        let cors = CorsLayer::new().allow_origin(origins).allow_methods([Method::GET, Method::POST]);
        router = router.layer(cors.allow_headers([header::CONTENT_TYPE, header::AUTHORIZATION]));
    }
    router = router.layer(CatchPanicLayer::custom(panicked)).layer(from_fn_with_state(app.clone(), logged));
    Ok(router.with_state(app))
}

/// Origins whose pages may read responses (CORS): those in the list, or all if it has `*`; `None` for an empty list.
fn allowed(origins: &[String]) -> Result<Option<AllowOrigin>, String> {
    if origins.iter().any(|origin| origin == "*") {
        return Ok(Some(AllowOrigin::any()));
    }
    let parsed = origins.iter().map(|origin| {
        let uri = origin.parse::<Uri>().ok();
        let parts = uri.as_ref().and_then(|uri| Some((uri.scheme_str()?, uri.authority()?)));
        let usual = |scheme: &str, port| matches!((scheme, port), ("https", Some(443)) | ("http", Some(80)));
        // The origin must be written as browsers do: in lower case, without a path, and without the default port of its
        // scheme.
        let same = parts.is_some_and(|(scheme, authority)| {
            *origin == format!("{scheme}://{authority}").to_lowercase() && !usual(scheme, authority.port_u16())
        });
        origin.parse::<HeaderValue>().ok().filter(|_| same).ok_or_else(|| format!("{origin:?}"))
    });
    let parsed: Vec<HeaderValue> = parsed.collect::<Result<_, _>>()?;
    Ok(if parsed.is_empty() { None } else { Some(AllowOrigin::list(parsed)) })
}

/// Converts a panic in a handler to an error response.
fn panicked(_: Box<dyn Any + Send + 'static>) -> Response {
    Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, ErrorType::Backend, "the server failed on this request")
        .into_response()
}

fn other_method() -> Refusal {
    let reason = "this path takes another method: see /openapi.json";
    Refusal::new(StatusCode::METHOD_NOT_ALLOWED, ErrorType::NotFound, reason)
}

/// Middleware that refuses requests to an unknown host name, unless a token protects the server. Otherwise a web page
/// could reach the server by a host name that resolves to this machine (DNS rebinding).
async fn with_host(State(app): State<Arc<App>>, request: Request, next: Next) -> Result<Response, Refusal> {
    // A response to TRACE would have to contain the request itself.
    if request.method() == Method::TRACE {
        return Ok(([(header::ALLOW, "GET, HEAD, POST")], other_method()).into_response());
    }
    if request.headers().get_all(header::HOST).iter().count() > 1 {
        return Err(Refusal::new(StatusCode::BAD_REQUEST, ErrorType::Validation, "the request has two Host headers"));
    }
    let header = request.headers().get(header::HOST).map(|value| value.to_str().unwrap_or("?"));
    let host = header.or_else(|| request.uri().authority().map(Authority::as_str)).unwrap_or("localhost");
    let is_own = app.settings.token.is_some() || PROBES.contains(&request.uri().path());
    if is_own || is_own_host(host, &app.settings.hosts) {
        return Ok(next.run(request).await);
    }
    let reason = "the host name of the request is not one of this server: start it with --allow-host, or with a token";
    Err(Refusal::new(StatusCode::MISDIRECTED_REQUEST, ErrorType::Validation, reason))
}

/// Returns whether a host (with an optional port) is an IP address, localhost or one of `names`.
fn is_own_host(host: &str, names: &[String]) -> bool {
    let without_port = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !name.ends_with(':') => name,
        _ => host,
    };
    let name = without_port.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.').to_ascii_lowercase();
    let is_named = |own: &String| own == "*" || own.eq_ignore_ascii_case(&name);
    name.parse::<IpAddr>().is_ok() || name == "localhost" || name.ends_with(".localhost") || names.iter().any(is_named)
}

/// Middleware that refuses requests without the bearer token, if the server requires one.
async fn with_token(State(app): State<Arc<App>>, request: Request, next: Next) -> Result<Response, Refusal> {
    let authorization = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let authorization =
        authorization.and_then(|value| value.split_once(' ')).filter(|(kind, _)| kind.eq_ignore_ascii_case("bearer"));
    let (path, method) = (request.uri().path(), request.method());
    let open = PROBES.contains(&path) || OPEN.contains(&path) && (method == Method::GET || method == Method::HEAD);
    if app.settings.token.is_none() || open || authorization.is_some_and(|(_, token)| app.is_token(token.trim())) {
        return Ok(next.run(request).await);
    }
    let reason = "expected the header `Authorization: Bearer …` with this server's token";
    Err(Refusal::new(StatusCode::UNAUTHORIZED, ErrorType::Unauthorized, reason))
}

/// Middleware that refuses requests on connections beyond the limit, and closes these connections.
async fn with_room(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    if request.extensions().get::<Lane>() != Some(&Lane::Spare) {
        return next.run(request).await;
    }
    let mut response = if PROBES.contains(&request.uri().path()) {
        next.run(request).await
    } else {
        let limits = &app.settings.limits;
        body::drain(&mut request.into_body(), limits.body_bytes).await;
        let reason = format!("{} connections are open already: try again later", limits.connections);
        Refusal::overloaded(reason).into_response()
    };
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

/// Middleware that counts and logs responses, without any content of requests. Successful health probes are not logged.
async fn logged(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let route = request.extensions().get::<MatchedPath>().map_or("unknown", |path| path.as_str()).to_owned();
    let method = request.method().as_str().to_owned();
    let ids = RequestIds::new(request.headers());
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(HeaderName::from_static("x-content-type-options"), HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    ids.add_headers(headers);
    if app.is_ending() {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    let status = response.status().as_u16();
    app.port.count(&route, status);
    let milliseconds = (started.elapsed().as_secs_f64() * 1e4).round() / 10.0;
    let mut line = json!({ "method": method, "route": route, "status": status, "milliseconds": milliseconds });
    if let Some(line) = line.as_object_mut() {
        ids.add_fields(line);
    }
    // Kubernetes sends a probe about every second.
    if !(PROBES.contains(&&*route) && status == 200) {
        app.log.event("request", line);
    }
    response
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn the_description_has_every_route_and_no_other() {
        let description: Value = serde_json::from_str(info::OPENAPI).unwrap();
        let described: Vec<&String> = description["paths"].as_object().unwrap().keys().collect();
        let mut paths: Vec<&str> = paths().iter().map(|(path, _)| *path).collect();
        paths.sort_unstable();
        let mut described: Vec<&str> = described.into_iter().map(String::as_str).collect();
        described.sort_unstable();
        assert_eq!(described, paths);
    }

    #[test]
    fn addresses_localhost_and_allowed_names_are_own_hosts() {
        let names = ["dht.example".to_owned()];
        for own in [
            "127.0.0.1:8080",
            "[::1]:8080",
            "::1",
            "[::1]",
            "10.1.2.3",
            "LocalHost:80",
            "a.localhost",
            "DHT.example.:80",
        ] {
            assert!(is_own_host(own, &names), "{own}");
        }
        for other in ["evil.example", "evil.example:8080", "localhost.evil.example", "", "?", "127.0.0.1.evil.example"]
        {
            assert!(!is_own_host(other, &names) && is_own_host(other, &["*".to_owned()]), "{other}");
        }
    }

    #[test]
    fn every_reference_of_the_description_is_in_it() {
        fn references<'a>(value: &'a Value, targets: &mut Vec<&'a str>) {
            match value {
                Value::Object(fields) => {
                    targets.extend(fields.get("$ref").and_then(Value::as_str));
                    fields.values().for_each(|value| references(value, targets));
                }
                Value::Array(items) => items.iter().for_each(|value| references(value, targets)),
                _ => {}
            }
        }
        let description: Value = serde_json::from_str(info::OPENAPI).unwrap();
        let mut targets = Vec::new();
        references(&description, &mut targets);
        assert!(targets.len() > 10);
        for reference in targets {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(description.pointer(pointer).is_some(), "{reference}");
        }
    }
}
