//! Propensities of slates: with which probability each arm is shown.

use super::choose::Candidates;
use super::slate::Gathered;
use super::{Slate, TopK};
use crate::arm::ArmId;
use crate::error::{Error, Result};
use crate::exploration::{Exploration, Selection};
use crate::policy::Request;
use crate::policy::propensity::{
    FreeScore, Law, Propensity, QUADRATURE_ERROR, SharedDraw, inclusion, inclusion_of_shared, laws, of_independent,
    rank_weights,
};
use crate::posterior::Posterior;
use crate::validate::first_double;
use rand::Rng;

impl<P: Posterior, E: Exploration> TopK<P, E> {
    /// As [`select_slate`](Self::select_slate), with the propensity of each chosen arm: the probability that it is in the
    /// slate, at whichever position.
    ///
    /// # Errors
    /// As [`select_slate`](Self::select_slate).
    pub fn decide_slate<R: Rng + ?Sized>(&self, k: usize, request: &Request<'_>, rng: &mut R) -> Result<Slate> {
        let mut slate = self.select_slate(k, request, rng)?;
        if k > 0 {
            let propensities = self.slate_propensities(k, request)?;
            for choice in &mut slate.choices {
                let entry = propensities.iter().find(|entry| entry.arm == choice.arm);
                choice.propensity = entry.map(|entry| entry.probability);
            }
        }
        Ok(slate)
    }

    /// The probability that each of the arms of a request is in a slate of `k`, in their order, without the pinned ones.
    /// The probabilities sum to `k`.
    ///
    /// Exact but for rounding where values are no draws; to 1e-9 where arms are drawn independently, by a quadrature
    /// over the value of the arm and the law of how many others are above it, O(K²·k). Where one draw of shared weights
    /// scores all arms it is averaged over 2,048 lines along which it is exact, O(K²) each; [`Propensity::standard_error`]
    /// is the standard error of that, at most about 2e-3 (50 arms of 16 features), and no arm is given less than 1e-12.
    ///
    /// # Errors
    /// As [`select_slate`](Self::select_slate).
    pub fn slate_propensities(&self, k: usize, request: &Request<'_>) -> Result<Vec<Propensity>> {
        let mut gathered = Gathered::default();
        let candidates = self.candidates(request, &mut gathered)?;
        self.check_positions(k, candidates.arms)?;
        if let Some(arm) = first_double(candidates.arms, |arm| *arm) {
            return Err(Error::DuplicateArm { arm });
        }
        let free: Vec<usize> =
            (0..candidates.arms.len()).filter(|position| !self.pinned.contains(&candidates.arms[*position])).collect();
        let arms: Vec<ArmId> = free.iter().map(|&position| candidates.arms[position]).collect();
        if k == 0 {
            return Ok(arms.into_iter().map(|arm| Propensity::exact(arm, 0.0)).collect());
        }
        let learned = self.clock.version;
        let weights = rank_weights(free.len(), k, self.exploration.uniform_share(learned));
        let score = |&position: &usize| {
            let slot = self.slot(candidates.arms[position])?;
            Ok((self.posterior.score(slot, candidates.context(position)).checked()?, self.posterior.freedom(slot)))
        };
        let scores = free.iter().map(score).collect::<Result<Vec<FreeScore>>>()?;
        if let Some(scale) = self.slate_draw() {
            let entries = inclusion_of_shared(&self.shared_draw(&candidates, &free, &scores, scale), &weights);
            let entry = |(arm, (probability, standard_error))| Propensity { arm, probability, standard_error };
            return Ok(arms.into_iter().zip(entries).map(entry).collect());
        }
        if k == 1 || matches!(self.exploration.selection(learned), Selection::InverseGap { .. }) {
            return of_independent(&self.exploration, learned, &arms, &scores);
        }
        let laws = laws(&self.exploration, learned, &scores)?;
        let standard_error = if laws.iter().all(|law| matches!(law, Law::Point(_))) { 0.0 } else { QUADRATURE_ERROR };
        let entries = arms.into_iter().zip(inclusion(&laws, &weights));
        Ok(entries.map(|(arm, probability)| Propensity { arm, probability, standard_error }).collect())
    }

    /// Means of the candidates' values, and how a draw of the shared weights moves them.
    fn shared_draw(&self, candidates: &Candidates<'_>, free: &[usize], scores: &[FreeScore], scale: f64) -> SharedDraw {
        let dimension = self.posterior.dimension();
        let mut rows = vec![0.0; free.len() * dimension];
        for (row, &position) in rows.chunks_exact_mut(dimension).zip(free) {
            self.posterior.deviations(0, scale, candidates.context(position), row);
        }
        SharedDraw { means: scores.iter().map(|(score, _)| score.mean).collect(), rows }
    }
}
