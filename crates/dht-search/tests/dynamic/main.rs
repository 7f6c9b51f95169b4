//! A dynamic model in training: what it learns from, what it costs, and that it does so again.

mod controls;
mod forged;
mod inputs;
mod plans;
mod resuming;
mod searches;
mod speed;
mod storage;
mod toy;
mod training;
