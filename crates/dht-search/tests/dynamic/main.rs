//! Training runs of a search model: losses, costs, resuming, saving, rejected inputs.

mod controls;
mod forged;
mod inputs;
mod own_parts;
mod paper;
mod plans;
mod resuming;
mod searches;
mod speed;
mod storage;
mod threshold;
mod toy;
mod training;
