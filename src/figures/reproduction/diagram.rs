//! Diagram of the method, which replaces the DHT paper's figure 1.

use super::figure::{Figure, Panel};

pub(crate) fn figure() -> Figure {
    let alt = "The way of a text in training. It passes the b base layers; at state S1 a bandit decides its depth, and it waits \
               in the queue of this depth. Full queues leave as batches: the base layers run again with gradient; before each \
               group of c layers bandits decide how many heads it keeps and which; after the last group the loss gives \
               rewards to all bandits. In T-DHT one bandit decides depth and another, at each group, the number of heads; in \
               S-, F- and P-DHT one bandit decides both at S1.";
    Figure {
        number: Some(1),
        title: "The method".into(),
        caption: "Our own drawing. Solid arrows are data, dotted ones decisions and rewards. The bandits are contextual: UCB \
                  picks one arm, TSB (Thompson sampling, semi-bandit) picks that many heads."
            .into(),
        panels: vec![Panel { file: "method.svg".into(), alt: alt.into(), svg: include_str!("method.svg").into() }],
    }
}
