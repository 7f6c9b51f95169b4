//! A dynamic model in training: what it learns from, what it costs, and that it does so again.

mod controls;
mod forged;
mod inputs;
mod knob;
mod plans;
mod resuming;
mod searches;
mod storage;
mod threshold;
mod toy;
mod training;
