//! Pre-training on plain text: blocks, masks, augmentation, and resuming of a training run.

mod augmentation;
mod blocks;
mod masks;
mod training;
