//! dht-bandits
