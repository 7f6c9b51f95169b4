//! Accelerated classifiers, and custom routers.

mod accelerated;
