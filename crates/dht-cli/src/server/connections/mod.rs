//! Connections of the server: accepting, serving and closing.
//!
//! ```text
//!  accept ─▶ Table: limit, eviction ─▶ connection: requests ─▶ Socket: records Activity
//!                 └──────── sweep: closes what exceeds a limit of time ◀──────┘
//! ```

mod accept;
mod activity;
mod connection;
mod port;
mod socket;
mod table;

pub(super) use accept::serve;
pub(super) use port::Port;
pub(super) use table::{Lane, Table};
