//! FLOPs of a linear classifier whose input is one vector for each text.

use serde::{Deserialize, Serialize};

use super::breakdown::Breakdown;
use super::count::FlopCount;
use super::needs::BackwardNeeds;

/// Sizes of a linear classifier, from which its FLOPs are computed. Its input is one vector for each text.
///
/// ```
/// use dht_transformer::flops::ClassifierShape;
///
/// let shape = ClassifierShape { hidden: 16, pooler: false, classes: 3 };
/// assert_eq!(shape.forward(10).total().0, 2 * 10 * 16 * 3);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ClassifierShape {
    /// Hidden size (d in formulas).
    pub hidden: usize,
    /// `true` if a d × d linear layer (pooler) precedes the classifier.
    pub pooler: bool,
    /// Number of classes.
    pub classes: usize,
}

impl ClassifierShape {
    fn pooler(&self, samples: u64) -> FlopCount {
        if self.pooler { FlopCount::of_product(1, self.hidden, self.hidden) * samples } else { FlopCount::ZERO }
    }

    fn classifier(&self, samples: u64) -> FlopCount {
        FlopCount::of_product(1, self.hidden, self.classes) * samples
    }

    /// FLOPs of the forward pass for n texts: 2·n·d·classes for the classifier, plus 2·n·d·d if there is a pooler.
    pub fn forward(&self, samples: u64) -> Breakdown {
        Breakdown { head: self.pooler(samples) + self.classifier(samples), ..Breakdown::default() }
    }

    /// FLOPs of the backward pass that this crate executes. In each linear layer, the gradient of the weights costs one
    /// forward pass, and so does the gradient of the input. If there is a trained pooler, the gradient of the
    /// classifier's input is computed in any case.
    pub fn backward(&self, samples: u64, needs: BackwardNeeds) -> Breakdown {
        let below = needs.input_gradient || (self.pooler && needs.weight_gradients);
        let pooler = self.pooler(samples) * needs.products(needs.input_gradient);
        let classifier = self.classifier(samples) * needs.products(below);
        Breakdown { head: pooler + classifier, ..Breakdown::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_classifier_costs_its_two_products() {
        let shape = ClassifierShape { hidden: 6, pooler: true, classes: 4 };
        let (pooler, classifier) = (FlopCount(2 * 5 * 36), FlopCount(2 * 5 * 24));
        assert_eq!(shape.forward(5).total(), pooler + classifier);
        assert_eq!(shape.backward(5, BackwardNeeds::ALL).head, (pooler + classifier) * 2);
        assert_eq!(shape.backward(5, BackwardNeeds::WEIGHTS_ONLY).head, pooler + classifier * 2);
        assert_eq!(shape.backward(5, BackwardNeeds::INPUT_ONLY).head, pooler + classifier);
        let plain = ClassifierShape { pooler: false, ..shape };
        assert_eq!(plain.forward(5).head, classifier);
        assert_eq!(plain.backward(5, BackwardNeeds::WEIGHTS_ONLY).head, classifier);
    }
}
