//! dht-search
