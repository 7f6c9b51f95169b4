//! Propensities of slates: the probability that a slate shows each arm.

use rand::Rng;

use super::choose::Candidates;
use super::{SharedPropensity, TopK};
use crate::arm::ArmId;
use crate::decision::{Choice, Gathered, Propensity, QUADRATURE_ERROR, Request, Slate};
use crate::error::{Error, Result};
use crate::exploration::{Exploration, Selection, drawn_uniformly};
use crate::gaussian::Score;
use crate::policy::propensity::{
    ClosedForm, FreeScore, LARGEST_SLATE, Law, SharedDraw, inclusion, inclusion_of, inclusion_of_first,
    inclusion_of_shared, inclusion_of_shared_arms, independent_propensities, laws, point_inclusion_of, rank_weights,
};
use crate::posterior::{Beliefs, Posterior};
use crate::validate::first_double;

impl<P: Posterior, E: Exploration> TopK<P, E> {
    /// Chooses a slate as [`select_slate`](Self::select_slate) does, and computes the propensity of each chosen arm:
    /// the probability that it is in the slate, at any position.
    ///
    /// The additional cost is O(N·k) for N candidates if no values are drawn, or if the rule chooses one arm by its
    /// mean. If arms are drawn independently, each chosen arm costs a quadrature. If one draw of shared weights scores
    /// all arms, the cost depends on [`SharedPropensity`].
    ///
    /// # Errors
    /// Fails as [`select_slate`](Self::select_slate) does.
    pub fn decide_slate<R: Rng + ?Sized>(&self, k: usize, request: &Request<'_>, rng: &mut R) -> Result<Slate> {
        let mut slate = self.select_slate(k, request, rng)?;
        if let Some(shown) = self.softmax_propensities(k, &slate)? {
            for (choice, shown) in slate.choices.iter_mut().zip(shown) {
                (choice.propensity, choice.propensity_error) = (Some(shown), QUADRATURE_ERROR);
            }
        } else if k > 0 {
            let propensities = self.propensities_of_chosen(k, request, &slate)?;
            for (choice, (propensity, error)) in slate.choices.iter_mut().zip(propensities) {
                (choice.propensity, choice.propensity_error) = (Some(propensity), error);
            }
        }
        Ok(slate)
    }

    /// Propensities of the chosen arms under the softmax rule, from one integral for all of them. Returns `None` if
    /// this method does not apply.
    fn softmax_propensities(&self, k: usize, slate: &Slate) -> Result<Option<[f64; LARGEST_SLATE]>> {
        let (learned, ranked) = (self.clock.version, &slate.ranked);
        match self.exploration.selection(learned) {
            Selection::Softmax { temperature } if drawn_uniformly(&self.exploration, learned, ranked.len())? == 0.0 => {
                Ok(inclusion_of_first(ranked.iter().map(|(choice, ..)| choice.mean), temperature, k))
            }
            _ => Ok(None),
        }
    }

    /// Propensities of the chosen arms, each with its numerical or standard error, from the scores that the selection
    /// computed. The result is empty if the policy's settings omit propensities.
    fn propensities_of_chosen(&self, k: usize, request: &Request<'_>, slate: &Slate) -> Result<Vec<(f64, f64)>> {
        let (learned, ranked) = (self.clock.version, &slate.ranked);
        let share = drawn_uniformly(&self.exploration, learned, ranked.len())?;
        if let Some(scale) = self.slate_draw() {
            return self.propensities_of_shared(k, request, slate, (scale, share));
        }
        let selection = self.exploration.selection(learned);
        if k == 1
            && let Some(form) = ClosedForm::new(selection, ranked.iter().map(|(choice, ..)| choice.mean))
        {
            let own = form.probability(ranked[0].0.mean);
            return Ok(vec![(share / ranked.len() as f64 + (1.0 - share) * own, 0.0)]);
        }
        if k == ranked.len() && share == 0.0 && matches!(selection, Selection::Softmax { .. }) {
            return Ok(vec![(1.0, QUADRATURE_ERROR); k]);
        }
        let weights = rank_weights(ranked.len(), k, share);
        if selection == Selection::Index {
            let values = ranked.iter().map(|(choice, ..)| choice.score);
            let shown =
                |(choice, ..): &(Choice, usize, u32)| (point_inclusion_of(choice.score, values.clone(), &weights), 0.0);
            return Ok(ranked[..k].iter().map(shown).collect());
        }
        let score = |(Choice { arm, mean, width, .. }, ..): &(Choice, usize, u32)| {
            let freedom = self.posterior.freedom(self.slot(*arm)?);
            Ok((Score { mean: *mean, width: *width }, freedom))
        };
        let laws = laws(&self.exploration, learned, &ranked.iter().map(score).collect::<Result<Vec<_>>>()?)?;
        Ok((0..k).map(|chosen| (inclusion_of(&laws, chosen, &weights), QUADRATURE_ERROR)).collect())
    }

    /// Propensities of the chosen arms, if one draw of the shared weights scored all candidates. `scale` is the factor
    /// on the standard deviation of the draw.
    fn propensities_of_shared(
        &self,
        k: usize,
        request: &Request<'_>,
        slate: &Slate,
        (scale, share): (f64, f64),
    ) -> Result<Vec<(f64, f64)>> {
        let ranked = &slate.ranked;
        let weights = rank_weights(ranked.len(), k, share);
        if self.shared_propensity == SharedPropensity::Omitted {
            return Ok(Vec::new());
        }
        let mut gathered = Gathered::default();
        let candidates = self.candidates(request, &mut gathered)?;
        let rows: Vec<usize> = ranked.iter().map(|(_, row, _)| *row).collect();
        let draw = self.shared_draw(&candidates, &rows, ranked.iter().map(|(choice, ..)| choice.mean).collect(), scale);
        Ok(match self.shared_propensity {
            SharedPropensity::Estimated { lines } => {
                inclusion_of_shared_arms(&draw, &(0..k).collect::<Vec<_>>(), &weights, lines)
            }
            SharedPropensity::Integral | SharedPropensity::Omitted => {
                inclusion_of_shared(&draw, &weights).into_iter().take(k).collect()
            }
        })
    }

    /// Probability that each arm of a request is in a slate of `k` arms, in the order of the request and without pinned
    /// arms, which appear in every slate. The probabilities sum to `k`.
    ///
    /// The accuracy depends on the exploration rule's random draws:
    ///
    /// - If no values are drawn, the probabilities are exact up to rounding.
    /// - If arms are drawn independently, the error is at most 1e-9. A quadrature over the value of each arm uses the
    ///   distribution of the number of other arms above it. The cost is O(K²·k) for K arms.
    /// - If one draw of shared weights scores all arms, the probabilities are averages over 2,048 random lines through
    ///   the space of weights. Along each line they are exact, in O(K²). [`Propensity::standard_error`] is then the
    ///   standard error of the average, at most about 2e-3 (50 arms of 16 features), and no arm gets less than 1e-12.
    ///
    /// # Errors
    /// Fails as [`select_slate`](Self::select_slate) does.
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
        let weights = rank_weights(free.len(), k, drawn_uniformly(&self.exploration, learned, free.len())?);
        let score = |&position: &usize| {
            let slot = self.slot(candidates.arms[position])?;
            Ok((self.posterior.score(slot, candidates.context(position)).checked()?, self.posterior.freedom(slot)))
        };
        let scores = free.iter().map(score).collect::<Result<Vec<FreeScore>>>()?;
        if let Some(scale) = self.slate_draw() {
            let means = scores.iter().map(|(score, _)| score.mean).collect();
            let entries = inclusion_of_shared(&self.shared_draw(&candidates, &free, means, scale), &weights);
            let entry = |(arm, (probability, standard_error))| Propensity { arm, probability, standard_error };
            return Ok(arms.into_iter().zip(entries).map(entry).collect());
        }
        if k == 1 || matches!(self.exploration.selection(learned), Selection::InverseGap { .. }) {
            return independent_propensities(&self.exploration, learned, &arms, &scores);
        }
        let laws = laws(&self.exploration, learned, &scores)?;
        let standard_error = if laws.iter().all(|law| matches!(law, Law::Point(_))) { 0.0 } else { QUADRATURE_ERROR };
        let entries = arms.into_iter().zip(inclusion(&laws, &weights));
        Ok(entries.map(|(arm, probability)| Propensity { arm, probability, standard_error }).collect())
    }

    /// Joint distribution of the candidates' values under one draw of the shared weights. `rows` contains the positions
    /// of the candidates.
    fn shared_draw(&self, candidates: &Candidates<'_>, rows: &[usize], means: Vec<f64>, scale: f64) -> SharedDraw {
        let dimension = self.posterior.dimension();
        let mut deviations = vec![0.0; rows.len() * dimension];
        for (row, &position) in deviations.chunks_exact_mut(dimension).zip(rows) {
            self.posterior.deviations(0, scale, candidates.context(position), row);
        }
        SharedDraw { means, rows: deviations }
    }
}
