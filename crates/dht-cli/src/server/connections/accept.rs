//! Loop that accepts connections until the server stops.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::connection::Connection;
use super::socket::Socket;
use crate::server::app::App;
use crate::server::settings::Limits;

/// Time for which connections are still accepted after the server was asked to stop, so that clients that connected
/// before are answered.
const LINGER: Duration = Duration::from_millis(200);
/// Pause between attempts to accept when the system has no file for another connection.
const PAUSE: Duration = Duration::from_millis(50);
/// Longest time between two checks of the time limits.
const SWEEP: Duration = Duration::from_secs(1);

/// Serves connections until the server is asked to stop and the accepted requests are answered.
pub(in crate::server) async fn serve(app: Arc<App>, router: Router, listener: TcpListener) {
    let (close, closing) = watch::channel(false);
    let mut connections = JoinSet::new();
    let stopped = async {
        let _ = app.stopping.clone().wait_for(|stopping| *stopping).await;
        tokio::time::sleep(LINGER).await;
    };
    tokio::pin!(stopped);
    let sweep = tokio::spawn(sweep(app.clone()));
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut stopped => break,
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
        };
        match accepted {
            Ok((stream, _)) => {
                let _ = stream.set_nodelay(true);
                let (number, lane, activity) = app.connections.add(&app.settings.limits);
                let connection =
                    Connection { app: app.clone(), lane, socket: Socket::new(stream, activity.clone()), activity };
                let (app, router, closing) = (app.clone(), router.clone(), closing.clone());
                connections.spawn(async move {
                    connection.serve(router, closing).await;
                    app.connections.remove(number);
                });
            }
            Err(error) => {
                app.log.event("accept_failed", json!({ "error": error.to_string() }));
                // Without files for new connections, `/health` needs that of one that waits.
                app.connections.evict_oldest(&app.settings.limits);
                tokio::time::sleep(PAUSE).await;
            }
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
        app.log.failure("connections_cut", json!({ "connections": connections.len() }));
    }
    sweep.abort();
    let _ = computed.await;
}

/// Closes connections that exceed a time limit, until the task is aborted.
async fn sweep(app: Arc<App>) {
    let Limits { reading, writing, idle, .. } = app.settings.limits;
    let pause = (reading.min(writing).min(idle) / 4).clamp(Duration::from_millis(10), SWEEP);
    loop {
        tokio::time::sleep(pause).await;
        app.connections.close_expired(&app.settings.limits);
    }
}
