//! Trainings of a dynamic model: losses, costs, resuming, saving, refused inputs.

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
