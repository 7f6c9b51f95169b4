//! Accelerated classifiers, and routers of a user's own.

mod accelerated;
