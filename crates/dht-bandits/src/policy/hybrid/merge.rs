//! Merging of hybrid policies (shared weights and weights of each arm) that were trained independently; forgetting.
//!
//! Notation follows Li et al. (2010), Algorithm 2. Each arm a has the precision A_a of its own weights, the moment b_a
//! (sum of contexts times rewards), and the cross terms B_a of contexts with features. C_a is A_a⁻¹B_a. The shared
//! weights have the precision A₀ and the moment b₀. The evidence is a sum over observations. For each arm, this sum is
//! A_a − λI, b_a and B_a. For the shared weights it is R = A₀ − λ₀I + Σ_a B_a'A_a⁻¹B_a and q = b₀ + Σ_a B_a'A_a⁻¹b_a,
//! summed over the arms that exist. When an arm is removed, its evidence stays in A₀ and b₀, and so in R and q, with
//! the arm's own weights integrated out.

use super::Hybrid;
use crate::arm_set::{ArmRanges, ArmSet};
use crate::clock::check_decay;
use crate::error::{Error, Result};
use crate::exploration::Exploration;
use crate::gaussian::{FactoredGaussian, Factors, NaturalParameters, information_of, parts_of};
use crate::policy::Policy;
use crate::policy::delta::{Delta, DeltaEvidence, HybridDelta, OwnEvidence, zero};
use crate::saved_state::StateHeader;
use crate::validate::{check_factor, check_memory, check_part};

/// Evidence of a hybrid policy: sums over observations, for each slot and for the shared weights.
struct Evidence {
    arms: Vec<OwnEvidence>,
    shared: NaturalParameters,
}

impl<E: Exploration> Hybrid<E> {
    fn lengths(&self) -> (usize, usize) {
        (self.dimension(), self.shared_dimension())
    }

    /// Computes the evidence of the policy, without the priors.
    fn evidence(&self) -> Evidence {
        let (d, k) = self.lengths();
        let natural = |factors: &Factors, slot| information_of(&factors.parts(slot)).natural_parameters(0);
        let mut shared = natural(&self.shared, 0);
        add_prior(&mut shared, k, -self.options.shared_prior_precision);
        let arm = |slot: usize| {
            let mut own = natural(&self.own, slot);
            let weights = &self.cross[slot * d * k..][..d * k];
            // Computes B = AC, and adds C'B to R and C'b to q.
            let mut cross = vec![0.0; d * k];
            for row in 0..d {
                for column in 0..d {
                    let entry = own.precision[packed(row, column)];
                    let from = &weights[column * k..][..k];
                    cross[row * k..][..k].iter_mut().zip(from).for_each(|(sum, value)| *sum += entry * value);
                }
            }
            add_product(&mut shared, weights, &cross, &own.moment, 1.0);
            add_prior(&mut own, d, -self.options.prior_precision);
            OwnEvidence { own, cross }
        };
        let arms = (0..self.arms.len()).map(arm).collect();
        Evidence { arms, shared }
    }

    /// Creates a policy from arms and their evidence, with the settings of this policy.
    ///
    /// # Errors
    /// Fails if a precision matrix is not positive definite, or too large to be loaded.
    fn with_evidence(&self, arms: ArmSet, evidence: &Evidence) -> Result<Self> {
        let (d, k) = self.lengths();
        let mut policy = Self::with_options(d, k, 0, self.options, self.exploration.clone())?;
        let mut shared = evidence.shared.clone();
        add_prior(&mut shared, k, self.options.shared_prior_precision);
        for (slot, OwnEvidence { own, cross }) in evidence.arms.iter().enumerate() {
            let mut own = own.clone();
            add_prior(&mut own, d, self.options.prior_precision);
            let parts = parts_of(&own.precision, &own.moment)?;
            check_factor(slot, &parts.mean, &parts.diagonal, &parts.upper)?;
            let weights = times_covariance(&parts, cross, k);
            check_part("cross terms", slot, &weights, d * k, false)?;
            add_product(&mut shared, &weights, cross, &own.moment, -1.0);
            policy.reserve(1)?;
            policy.own.push(1.0);
            policy.own.set(slot, &parts.mean, &parts.diagonal, &parts.upper);
            policy.cross.extend_from_slice(&weights);
        }
        let parts = parts_of(&shared.precision, &shared.moment)?;
        check_factor(0, &parts.mean, &parts.diagonal, &parts.upper)?;
        policy.shared.set(0, &parts.mean, &parts.diagonal, &parts.upper);
        (policy.arms, policy.clock) = (arms, self.clock);
        Ok(policy)
    }

    /// Returns a copy of this policy without the arms in `removed`, which another worker removed.
    fn without(&self, removed: &ArmRanges) -> Result<Self> {
        let mut policy = self.clone();
        let here: Vec<_> = policy.arms.iter().filter(|arm| removed.contains(*arm)).collect();
        here.into_iter().try_for_each(|arm| policy.remove_arm(arm))?;
        policy.arms.remove_all(removed)?;
        Ok(policy)
    }

    /// Computes exactly the evidence that this policy has learned since `earlier`, a clone that was made of this policy
    /// before. Arms added since then are compared with the prior. The shared weights keep the evidence from removed
    /// arms. The cost is O(K·d²·(d + k)) for K arms, d values in a context and k shared weights.
    ///
    /// # Errors
    /// Fails if the policies differ in lengths or priors, if an arm that exists here was removed in `earlier`, if a
    /// precision overflows, or if memory cannot be allocated.
    pub fn diff(&self, earlier: &Self) -> Result<Delta> {
        Ok(DeltaEvidence::Hybrid(self.evidence_since(earlier)?).into())
    }

    fn evidence_since(&self, earlier: &Self) -> Result<HybridDelta> {
        let empty = self.empty_delta();
        empty.check_compatible(&earlier.empty_delta())?;
        if let Some(arm) = self.arms.iter().find(|arm| earlier.arms.removed().contains(*arm)) {
            return Err(Error::RemovedArm { arm });
        }
        let (d, k) = self.lengths();
        let length = (d * (d + 1) / 2 + d).checked_add(d.saturating_mul(k));
        check_memory("delta of the policy", length.and_then(|length| length.checked_mul(3 * self.arms.len())))?;
        let then = earlier.without(self.arms.removed())?;
        let (now, before) = (self.evidence(), then.evidence());
        let nothing = OwnEvidence::zero(d, k);
        let mut arms = Vec::with_capacity(self.arms.len());
        for (arm, ours) in self.arms.iter().zip(&now.arms) {
            let theirs = then.arms.slot(arm).map_or(&nothing, |slot| &before.arms[slot]);
            arms.push((arm, ours.plus(-1.0, theirs)?));
        }
        arms.sort_by_key(|(arm, _)| *arm);
        let shared = now.shared.plus(-1.0, &before.shared)?;
        let updates = self.version().saturating_sub(earlier.version());
        Ok(HybridDelta { arms, shared, updates, removed: self.arms.removed().clone(), ..empty })
    }

    fn empty_delta(&self) -> HybridDelta {
        let (d, k) = self.lengths();
        HybridDelta {
            header: StateHeader::new("hybrid-delta"),
            dimension: d,
            shared_dimension: k,
            prior: (self.options.prior_precision, self.options.shared_prior_precision),
            arms: Vec::new(),
            shared: zero(k),
            updates: 0,
            removed: ArmRanges::default(),
        }
    }

    /// Adds the evidence that another worker learned, to this policy. Arms that exist only in the delta are added; arms
    /// that the worker has removed are removed.
    ///
    /// # Errors
    /// Fails if the delta has other lengths or priors, if it cannot come from [`diff`](Self::diff), or if a precision
    /// is not positive definite afterwards. [`Error::RemovedArm`] if the delta has evidence of an arm that was removed
    /// here, since the arm's part in the shared weights cannot be separated. After an error the policy is unchanged.
    pub fn apply(&mut self, delta: &Delta) -> Result<()> {
        self.apply_evidence(delta.plain()?)
    }

    pub(crate) fn apply_evidence(&mut self, learned: &DeltaEvidence) -> Result<()> {
        self.add_evidence(learned.hybrid()?)
    }

    fn add_evidence(&mut self, delta: &HybridDelta) -> Result<()> {
        self.empty_delta().check_compatible(delta)?;
        delta.check()?;
        let base = self.without(&delta.removed)?;
        let mut evidence = base.evidence();
        let mut arms = base.arms.clone();
        let (d, k) = self.lengths();
        for (arm, theirs) in &delta.arms {
            // The arm exists at the other worker, but the delta has no evidence about it.
            if arms.removed().contains(*arm) && theirs.is_zero() {
                continue;
            }
            if arms.slot(*arm).is_err() {
                arms.insert(*arm)?;
                evidence.arms.push(OwnEvidence::zero(d, k));
            }
            let slot = arms.slot(*arm)?;
            evidence.arms[slot] = evidence.arms[slot].plus(1.0, theirs)?;
        }
        evidence.shared = evidence.shared.plus(1.0, &delta.shared)?;
        let mut merged = base.with_evidence(arms, &evidence)?;
        merged.clock = self.clock.after(delta.updates)?;
        *self = merged;
        Ok(())
    }

    /// Adds the evidence of `other`, as if this policy had observed it: the priors count once. The result is exact if
    /// both policies started from the prior. An arm that either policy has removed is removed.
    ///
    /// # Errors
    /// Fails if the policies differ in lengths or priors, or if a sum overflows. After an error the policy is
    /// unchanged.
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        let other = other.without(self.arms.removed())?;
        let (d, k) = other.lengths();
        let blank = Self::with_options(d, k, 0, other.options, other.exploration.clone())?;
        self.add_evidence(&other.evidence_since(&blank)?)
    }

    /// Discards everything learned: the weights of each arm and the shared weights are reset to the prior. Arms,
    /// version and epoch are unchanged, so the policy can still learn from decisions whose rewards have not arrived.
    pub fn reset(&mut self) {
        (0..self.arms.len()).for_each(|slot| self.own.reset(slot, 1.0 / self.options.prior_precision));
        self.shared.reset(0, 1.0 / self.options.shared_prior_precision);
        self.cross.fill(0.0);
    }

    /// Multiplies the evidence of each arm and of the shared weights by the decay γ, once; the priors keep their
    /// weight.
    ///
    /// # Errors
    /// Fails if the decay is outside [1e-100, 1] or a precision overflows. After an error the policy is unchanged.
    pub fn forget(&mut self, decay: f64) -> Result<()> {
        check_decay(decay)?;
        let mut evidence = self.evidence();
        let (d, k) = self.lengths();
        evidence.shared = evidence.shared.decayed(decay, &zero(k));
        for arm in &mut evidence.arms {
            arm.own = arm.own.decayed(decay, &zero(d));
            arm.cross.iter_mut().for_each(|value| *value *= decay);
        }
        *self = self.with_evidence(self.arms.clone(), &evidence)?;
        Ok(())
    }
}

/// Index of a matrix entry in packed storage: upper triangle of a symmetric matrix, column by column.
fn packed(row: usize, column: usize) -> usize {
    let (row, column) = if row < column { (row, column) } else { (column, row) };
    column * (column + 1) / 2 + row
}

fn add_prior(parameters: &mut NaturalParameters, dimension: usize, precision: f64) {
    (0..dimension).for_each(|coordinate| parameters.precision[packed(coordinate, coordinate)] += precision);
}

/// Adds one arm's contribution to the evidence (R, q) of the shared weights: R += sign·C'B and q += sign·C'b, where
/// `weights` is C = A⁻¹B, `cross` is B and `moment` is b (see the module's notation).
fn add_product(shared: &mut NaturalParameters, weights: &[f64], cross: &[f64], moment: &[f64], sign: f64) {
    let k = shared.moment.len();
    for ((left, right), moment) in weights.chunks_exact(k).zip(cross.chunks_exact(k)).zip(moment) {
        for column in 0..k {
            for row in 0..=column {
                // The product is symmetric except for rounding: the mean of both halves is added.
                let product = 0.5 * (left[row] * right[column] + left[column] * right[row]);
                shared.precision[packed(row, column)] += sign * product;
            }
            shared.moment[column] += sign * left[column] * moment;
        }
    }
}

/// Computes U·D·Uᵀ·B: the covariance of an arm's weights, times its cross terms B (`cross`, shape (d, k)).
fn times_covariance(parts: &FactoredGaussian, cross: &[f64], k: usize) -> Vec<f64> {
    let d = parts.mean.len();
    let upper = |row: usize, column: usize| parts.upper[column * (column - 1) / 2 + row];
    let mut projected = vec![0.0; d * k];
    for column in 0..d {
        for feature in 0..k {
            let above: f64 = (0..column).map(|row| upper(row, column) * cross[row * k + feature]).sum();
            projected[column * k + feature] = parts.diagonal[column] * (cross[column * k + feature] + above);
        }
    }
    let mut weights = projected.clone();
    for column in 1..d {
        for row in 0..column {
            for feature in 0..k {
                weights[row * k + feature] += upper(row, column) * projected[column * k + feature];
            }
        }
    }
    weights
}
