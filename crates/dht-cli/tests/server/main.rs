//! Tests of the server over sockets on the loopback address: answers, refusals with reasons, hostile clients, and its
//! end.

#![cfg(feature = "server")]

mod answers;
mod client;
mod clients;
mod configuration;
mod connections;
mod explained;
mod hostile;
mod lines;
mod load;
mod model;
mod monitor;
mod own_parts;
mod process;
mod refusals;
