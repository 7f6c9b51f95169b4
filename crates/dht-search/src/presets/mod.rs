//! What the paper prints, as constants and spaces.

mod dht;
mod pyramids;

pub use dht::{FROZEN_LAYERS, FULL_EPOCHS_BEFORE_FREEZING, Preset, SevenLayerHeads, exits, head_options, pinned_heads};
pub use pyramids::{DEPTH_PYRAMID, HEAD_SET_PYRAMID, HEADS_PYRAMID, PoolingPyramid};
