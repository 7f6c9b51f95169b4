//! Weights in the formats that other programs write: shards, archives of `torch.save`, and formats that are refused.

mod archive;
mod equal;
mod foreign;
mod mutated;
mod refused;
mod shards;
mod tiny;
