//! Worlds that move: exactness of what follows them, and that it pays.

mod changes;
mod discounted;
mod paying;
mod window;
