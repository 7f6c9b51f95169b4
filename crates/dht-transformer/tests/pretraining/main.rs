//! Learning from plain text: blocks, masks, and a training that can be stopped.

mod augmentation;
mod blocks;
mod masks;
mod training;
