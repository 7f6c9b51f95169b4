//! The loop that accepts connections, and their end.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::app::App;

/// How long connections are still accepted after the server was told to stop: who connected before is answered.
const LINGER: Duration = Duration::from_millis(200);
/// How long connections without a request stay open after that: what they ask meanwhile is refused with a reason, where a connection
/// that is closed gives none.
const REFUSING: Duration = Duration::from_millis(300);
/// How long accepting pauses when the system has no file for another connection.
const PAUSE: Duration = Duration::from_millis(50);
/// The most bytes of the head of a request.
const HEAD_BYTES: usize = 64 << 10;

/// Serves connections until the server is told to stop and the requests that were taken are answered.
pub(super) async fn serve(app: Arc<App>, router: Router, listener: TcpListener) {
    let room = Arc::new(Semaphore::new(app.settings.limits.connections));
    let (close, closing) = watch::channel(false);
    let mut connections = JoinSet::new();
    let stopped = async {
        let _ = app.stopping.clone().wait_for(|stopping| *stopping).await;
        tokio::time::sleep(LINGER).await;
    };
    tokio::pin!(stopped);
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut stopped => break,
            accepted = async {
                let permit = room.clone().acquire_owned().await;
                (permit, listener.accept().await)
            } => accepted,
            Some(_) = connections.join_next() => continue,
        };
        match accepted {
            (Ok(permit), Ok((stream, _))) => {
                let connection = connection(app.clone(), router.clone(), stream, closing.clone());
                connections.spawn(async move {
                    connection.await;
                    drop(permit);
                });
            }
            (_, Err(error)) => {
                app.log.event("accept_failed", json!({ "error": error.to_string() }));
                tokio::time::sleep(PAUSE).await;
            }
            (Err(_), Ok(_)) => {}
        }
    }
    drop(listener);
    let _ = close.send(true);
    // What waits is computed at once, and the answers go out before their connections end.
    let service = app.service.clone();
    let computed = tokio::task::spawn_blocking(move || service.stop());
    let grace = app.settings.limits.grace;
    let all = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(grace, all).await.is_err() {
        app.log.event("connections_cut", json!({ "connections": connections.len() }));
    }
    let _ = computed.await;
}

/// Serves one connection until its end; when the server closes, until its present request is answered.
async fn connection(app: Arc<App>, router: Router, stream: TcpStream, mut closing: watch::Receiver<bool>) {
    let _ = stream.set_nodelay(true);
    let service = TowerToHyperService::new(router);
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(app.settings.limits.reading).max_buf_size(HEAD_BYTES);
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let closed = async {
        let _ = closing.wait_for(|closing| *closing).await;
        tokio::time::sleep(REFUSING).await;
    };
    // A client that vanishes or stalls is no error of ours.
    let ended = tokio::select! {
        _ = connection.as_mut() => true,
        () = closed => false,
    };
    if !ended {
        connection.as_mut().graceful_shutdown();
        let _ = connection.await;
    }
}
