//! The settings that are tried.

use dht_dynamic::accelerate::{AccelerateSettings, SideSettings, Targets};
use dht_dynamic::evaluation::LeavingRule;
use dht_search::routing::Decided;
use dht_transformer::Pooling;

use super::pruned::{Order, Pruned};

/// Changes the defaults in one point.
type Change = fn(&mut AccelerateSettings);

/// A setting that differs from the defaults in one point.
pub(super) struct Variant {
    pub(super) name: &'static str,
    pub(super) change: Change,
    pub(super) rule: LeavingRule,
    /// How often a bandit decides, in the place of a rule.
    pub(super) bandit: Option<Decided>,
    /// Whether further texts without labels are fitted on.
    pub(super) unlabelled: bool,
    /// What the classifier keeps of each layer; `None` for all.
    pub(super) pruned: Option<Pruned>,
}

/// The name of the defaults.
pub(super) const DEFAULT: &str = "as by default";

fn side(settings: &mut AccelerateSettings, change: impl FnOnce(&mut SideSettings)) {
    change(settings.side.get_or_insert_default());
}

/// All of them, the defaults first.
pub(super) fn variants() -> Vec<Variant> {
    let variant = |name, change| Variant {
        name,
        change,
        rule: LeavingRule::Confidence,
        bandit: None,
        unlabelled: false,
        pruned: None,
    };
    let changes: [(&'static str, Change); 10] = [
        (DEFAULT, |_| {}),
        ("linear exits", |settings| settings.side = None),
        ("the first token in the place of the mean", |settings| settings.pooling = Pooling::Cls),
        ("without n-gram model", |settings| settings.ngram = None),
        ("side layers of 32 columns", |settings| side(settings, |side| side.width = Some(32))),
        ("side layers of 128 columns", |settings| side(settings, |side| side.width = Some(128))),
        ("1 pass", |settings| side(settings, |side| side.epochs = 1)),
        ("6 passes", |settings| side(settings, |side| side.epochs = 6)),
        ("learning rate 5e-4", |settings| side(settings, |side| side.learning_rate = 5e-4)),
        ("learning rate 2e-3", |settings| side(settings, |side| side.learning_rate = 2e-3)),
    ];
    let mut variants: Vec<Variant> = changes.into_iter().map(|(name, change)| variant(name, change)).collect();
    let bandit = |name, decided| Variant { bandit: Some(decided), ..variant(name, |_| {}) };
    variants.push(bandit("a bandit decides once after the first layer", Decided::Once));
    variants.push(bandit("a bandit decides at every exit", Decided::AtEveryExit));
    variants.push(variant("soft labels alone", |settings| settings.targets = Targets::SoftLabels));
    variants.push(variant("the classifier's predictions in the place of labels", |settings| {
        settings.targets = Targets::Predictions;
    }));
    variants.push(Variant { rule: LeavingRule::Entropy, ..variant("leaving by entropy", |_| {}) });
    variants.push(Variant { rule: LeavingRule::Patience, ..variant("leaving by patience", |_| {}) });
    variants.push(Variant { unlabelled: true, ..variant("unlabelled texts too", |_| {}) });
    let pruned = |name, heads, neurons, order, passes| Variant {
        pruned: Some(Pruned { heads, neurons, order, passes }),
        ..variant(name, |_| {})
    };
    variants.extend([
        pruned("three quarters of the heads by gradients", 0.75, 1.0, Order::Gradient, 0),
        pruned("half of the heads by gradients", 0.5, 1.0, Order::Gradient, 0),
        pruned("half of the heads at random", 0.5, 1.0, Order::Random, 0),
        pruned("half of the heads by gradients and a pass of training", 0.5, 1.0, Order::Gradient, 1),
        pruned("half of the neurons by gradients", 1.0, 0.5, Order::Gradient, 0),
        pruned("half of the neurons by gradients and a pass of training", 1.0, 0.5, Order::Gradient, 1),
        pruned("half of the heads and neurons by gradients and a pass of training", 0.5, 0.5, Order::Gradient, 1),
    ]);
    variants
}
