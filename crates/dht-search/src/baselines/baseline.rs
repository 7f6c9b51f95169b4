//! Interface of the baselines, the methods that a search is compared with. A baseline is trained like any model, and
//! reports the cost of its training run.

use dht_dynamic::training::FrozenExits;
use dht_dynamic::{DynamicModel, Predictor};
use dht_transformer::{
    Objective, TextClassifier,
    tasks::{Distillation, FineTuning},
};

use crate::error::Error;
use crate::model::SearchModel;
use crate::training::SearchObjective;

/// Training objective of a baseline, which also reports the cost of the training run.
pub trait Baseline: Objective<Error: Into<Error>> {
    /// Type of the trained model.
    type Model: Predictor;

    /// FLOPs of all matrix products of the training run so far. Validation and the training of a teacher or backbone
    /// are not included.
    fn flops(&self) -> u64;

    /// Returns the trained model.
    fn into_model(self) -> Self::Model;
}

impl Baseline for FineTuning {
    type Model = TextClassifier;

    fn flops(&self) -> u64 {
        self.flops()
    }

    fn into_model(self) -> TextClassifier {
        self.into_model()
    }
}

impl Baseline for Distillation {
    type Model = TextClassifier;

    fn flops(&self) -> u64 {
        self.flops()
    }

    fn into_model(self) -> TextClassifier {
        self.into_model()
    }
}

impl Baseline for FrozenExits {
    type Model = DynamicModel;

    fn flops(&self) -> u64 {
        self.flops()
    }

    fn into_model(self) -> DynamicModel {
        self.into_model()
    }
}

impl Baseline for SearchObjective {
    type Model = SearchModel;

    fn flops(&self) -> u64 {
        self.accounting().flops
    }

    fn into_model(self) -> SearchModel {
        self.into_model()
    }
}
