//! Worlds that move: exactness of what follows them, and that it pays.

mod changes;
mod discounted;
mod every_kind;
mod paying;
mod window;
