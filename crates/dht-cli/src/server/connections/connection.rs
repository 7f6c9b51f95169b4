//! Serving of one connection until it ends.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::http::{Request, Response, StatusCode};
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::sync::watch;

use super::activity::{Activity, Closing, InProgress};
use super::port::Port;
use super::socket::Socket;
use super::table::Lane;

/// Time for which idle connections stay open when the server stops. A request in that time gets an error response with
/// a reason, not a closed connection.
const REFUSING: Duration = Duration::from_millis(300);
/// Time limit for a client to read its last response while it is still sending its request.
const LAST_RESPONSE: Duration = Duration::from_secs(1);
/// Maximum size of a request's head in bytes.
const HEAD_BYTES: usize = 64 << 10;

/// End of a connection, either after complete responses or abruptly.
enum End {
    /// End after complete responses, or after the HTTP library hyper has refused a request head.
    Answered,
    /// Abrupt end: the client has gone, or the connection must be closed immediately.
    Cut,
}

/// Open connection, with the state that all connections share.
pub(super) struct Connection {
    pub(super) port: Arc<Port>,
    pub(super) lane: Lane,
    pub(super) socket: Socket,
    pub(super) activity: Arc<Activity>,
}

impl Connection {
    /// Serves requests until the connection ends. If the server closes the connection, the current request is still
    /// answered.
    pub(super) async fn serve(self, router: Router, closing: watch::Receiver<bool>) {
        if let End::Answered = self.answer(router, closing).await {
            tokio::select! {
                _ = tokio::time::timeout(LAST_RESPONSE, self.socket.linger()) => {}
                () = self.activity.closed() => {}
            }
        }
    }

    async fn answer(&self, router: Router, mut closing: watch::Receiver<bool>) -> End {
        let service =
            Requests { router: TowerToHyperService::new(router), activity: self.activity.clone(), lane: self.lane };
        let mut builder = http1::Builder::new();
        // The table of connections enforces the time limits: hyper's limit for heads would cut responses that are still
        // being read.
        builder.header_read_timeout(None).half_close(true).max_buf_size(HEAD_BYTES);
        let connection = builder.serve_connection(TokioIo::new(self.socket.clone()), service);
        tokio::pin!(connection);
        let closed = async {
            let _ = closing.wait_for(|closing| *closing).await;
            tokio::time::sleep(REFUSING).await;
        };
        tokio::pin!(closed);
        let mut stops = false;
        loop {
            tokio::select! {
                ended = connection.as_mut() => {
                    return match ended {
                        Ok(()) => End::Answered,
                        Err(error) => self.failed(&error),
                    };
                }
                () = self.activity.closed() => return End::Cut,
                () = self.socket.reset() => return End::Cut,
                () = &mut closed, if !stops => {
                    stops = true;
                    connection.as_mut().graceful_shutdown();
                }
            }
        }
    }

    /// Counts and logs a request head that the HTTP library hyper has refused. A client that disconnects or stalls is
    /// not logged as an error.
    fn failed(&self, error: &hyper::Error) -> End {
        if error.is_parse_version_h2() {
            self.port.connections.count(Closing::Http2);
        }
        if !error.is_parse() || error.is_parse_version_h2() {
            return End::Cut;
        }
        let reason = error.to_string();
        let status = match error.is_parse_too_large() {
            true if reason.contains("URI") => StatusCode::URI_TOO_LONG,
            true => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            false => StatusCode::BAD_REQUEST,
        };
        self.port.refused_head(status.as_u16(), &reason);
        End::Answered
    }
}

/// Service that records the requests of a connection and passes them to the router.
struct Requests {
    router: TowerToHyperService<Router>,
    activity: Arc<Activity>,
    lane: Lane,
}

impl Service<Request<Incoming>> for Requests {
    type Response = Response<RecordedBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        request.extensions_mut().insert(self.lane);
        let in_progress = self.activity.begin();
        let answered = self.router.call(request);
        Box::pin(async move { Ok(answered.await?.map(|body| RecordedBody { body, _in_progress: in_progress })) })
    }
}

/// Response body. Its request counts as in progress until the body is dropped.
struct RecordedBody {
    body: Body,
    _in_progress: InProgress,
}

impl HttpBody for RecordedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
