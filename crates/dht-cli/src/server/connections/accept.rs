//! Loop that accepts connections until the server stops.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::connection::Connection;
use super::port::Port;
use super::socket::Socket;
use crate::server::settings::Limits;

/// Time after a stop signal during which connections are still accepted, since clients may have connected before the
/// signal.
const LINGER: Duration = Duration::from_millis(200);
/// Pause before another attempt to accept a connection if the process has no free file descriptor.
const PAUSE: Duration = Duration::from_millis(50);
/// Interval at which the time limits of connections are checked.
const SWEEP: Duration = Duration::from_secs(1);

/// Serves connections until the port closes and the accepted requests are answered. `finish` is called once no further
/// connection is accepted; it should compute the answers to waiting requests.
pub(in crate::server) async fn serve(
    port: Arc<Port>,
    router: Router,
    listener: TcpListener,
    finish: impl FnOnce() + Send + 'static,
) {
    let (close, closing) = watch::channel(false);
    let mut connections = JoinSet::new();
    let stopped = async {
        let _ = port.stopping.clone().wait_for(|stopping| *stopping).await;
        tokio::time::sleep(LINGER).await;
    };
    tokio::pin!(stopped);
    let sweep = tokio::spawn(sweep(port.clone()));
    let serve_one = |connections: &mut JoinSet<()>, stream: TcpStream| {
        let _ = stream.set_nodelay(true);
        let (number, lane, activity) = port.connections.add(&port.limits);
        let socket = Socket::new(stream, activity.clone());
        let connection = Connection { port: port.clone(), lane, socket, activity };
        let (port, router, closing) = (port.clone(), router.clone(), closing.clone());
        connections.spawn(async move {
            connection.serve(router, closing).await;
            port.connections.remove(number);
        });
    };
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut stopped => break,
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
        };
        match accepted {
            Ok((stream, _)) => serve_one(&mut connections, stream),
            Err(error) => {
                port.log.event("accept_failed", json!({ "error": error.to_string() }));
                // Without file descriptors for new connections, `/health` needs the one of a waiting connection.
                port.connections.evict_oldest(&port.limits);
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    // Connections that the system has already established are served, too: closing the listener would reset them.
    if let Ok(listener) = listener.into_std() {
        while let Ok((stream, _)) = listener.accept() {
            if let Ok(stream) = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream)) {
                serve_one(&mut connections, stream);
            }
        }
    }
    let _ = close.send(true);
    // The waiting requests are computed at once, and the answers are sent before their connections end.
    let computed = tokio::task::spawn_blocking(finish);
    let grace = port.limits.grace;
    let all = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(grace, all).await.is_err() {
        port.log.failure("connections_cut", json!({ "connections": connections.len() }));
    }
    sweep.abort();
    let _ = computed.await;
}

/// Closes connections that exceed a time limit, until the task is aborted.
async fn sweep(port: Arc<Port>) {
    let Limits { reading, writing, idle, .. } = port.limits;
    let pause = (reading.min(writing).min(idle) / 4).clamp(Duration::from_millis(10), SWEEP);
    loop {
        tokio::time::sleep(pause).await;
        port.connections.close_expired(&port.limits);
    }
}
