//! The settings that are tried.

use dht_dynamic::accelerate::{AccelerateSettings, SideSettings, Targets};
use dht_dynamic::evaluation::LeavingRule;
use dht_search::routing::Decided;
use dht_transformer::Pooling;

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
}

/// The name of the defaults.
pub(super) const DEFAULT: &str = "as by default";

fn side(settings: &mut AccelerateSettings, change: impl FnOnce(&mut SideSettings)) {
    change(settings.side.get_or_insert_default());
}

/// All of them, the defaults first.
pub(super) fn variants() -> Vec<Variant> {
    let variant =
        |name, change| Variant { name, change, rule: LeavingRule::Confidence, bandit: None, unlabelled: false };
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
    variants
}
