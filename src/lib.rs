//! dht-lab
