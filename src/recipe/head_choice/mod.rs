//! What choosing heads by text is worth: a frozen classifier, half of whose heads run in each layer, so that every choice costs the
//! same. Who chooses best?

mod policies;
mod sets;

use dht_dynamic::{
    FullModel, LogProbabilities,
    exit::{NgramClassifier, NgramSettings},
};
use dht_transformer::EncodedDataset;
use dht_transformer::tensors::HeadPlan;

use super::{Bench, RESAMPLED};
use crate::error::Result;
use crate::experiment::{CLASSIFIERS, rng};
use crate::record::{HeadChoice, HeadChoiceWay, Interval};
use dht_cli::report;
use policies::{Arms, planted};
use sets::{Sets, important, losses};

/// The stream of random numbers of sets and policies.
const CHOSEN: u64 = 8;

/// Loss and class of each text on one way to choose; the loss is the mean of several passes where chance plays a part.
struct Outcome {
    way: String,
    losses: Vec<f64>,
    accuracy: Option<f64>,
}

impl Bench {
    /// All ways to choose half of the heads for the judged texts, and the same policies in a planted world.
    pub(super) fn head_choice(&self) -> Result<Vec<HeadChoice>> {
        let encoder = self.classifier.encoder();
        let heads = encoder.config().num_attention_heads;
        let (kept, texts) = ((heads / 2).max(1), &self.judged);
        let truth: Vec<u32> = texts.samples.iter().map(|sample| sample.label).collect();
        let contexts = self.contexts(texts)?;
        let mut rng = rng(&self.plan, CHOSEN);
        let run = |plans: &[HeadPlan]| losses(&self.classifier, texts, plans);
        let outcome = |way: String, logs: &LogProbabilities| Outcome {
            losses: logs.rows().zip(&truth).map(|(row, label)| -row[*label as usize]).collect(),
            accuracy: Some(logs.accuracy(&truth)),
            way,
        };

        // Sets that are the same for all texts: the arms.
        let mut sets = vec![("by chance".to_owned(), Sets::random(encoder.layers(), heads, kept, &mut rng)?)];
        let train = &self.data.train;
        let all = important(&self.classifier, train, None)?;
        sets.push(("most important".into(), Sets::most_important(&all, kept)?));
        for (label, name) in train.labels.iter().enumerate() {
            let of_class = important(&self.classifier, train, Some(label as u32))?;
            sets.push((format!("most important to class {name}"), Sets::most_important(&of_class, kept)?));
        }
        let mut fixed = Vec::new();
        for (name, set) in &sets {
            let found = outcome(name.clone(), &run(&set.for_all())?);
            report(&format!("{name}: loss {:.4}", mean(&found.losses)));
            fixed.push(found);
        }
        let whole = outcome("all heads".into(), &run(&vec![HeadPlan::Full; encoder.layers()])?);

        // Sets of a text's own.
        let mut own = Vec::new();
        let gates = sets::gates(&self.classifier, texts)?;
        for (name, context) in [("semi-bandit", None), ("semi-bandit by context", Some(&contexts))] {
            let plans = policies::semi_bandit(&gates, context, kept, &mut rng)?;
            own.push(outcome(name.to_owned(), &run(&plans)?));
        }
        let drawn: Vec<Sets> =
            (0..texts.len()).map(|_| Sets::random(encoder.layers(), heads, kept, &mut rng)).collect::<Result<_>>()?;
        own.push(outcome("heads at random, each text its own".into(), &run(&Sets::for_each(&drawn))?));

        let arms = Arms { contexts, losses: fixed.iter().map(|found| found.losses.clone()).collect() };
        let real = self.judge(&self.data.record.name, [kept, heads], Some(whole), fixed, arms, own)?;
        let (arms, names) = planted(&mut rng)?;
        let fixed = names.into_iter().zip(&arms.losses);
        let fixed = fixed.map(|(way, losses)| Outcome { way, losses: losses.clone(), accuracy: None }).collect();
        Ok(vec![real, self.judge("planted", [kept, heads], None, fixed, arms, Vec::new())?])
    }

    /// What the n-gram model says, which is known before any layer runs: its log-probabilities.
    fn contexts(&self, texts: &EncodedDataset) -> Result<Vec<Vec<f64>>> {
        let settings = NgramSettings { left_out: self.data.tokenizer.tokens_around()?, ..NgramSettings::default() };
        let full = FullModel::of(&self.classifier);
        let ngram = NgramClassifier::fit(&self.data.train, &settings, full, &mut rng(&self.plan, CLASSIFIERS))?;
        let logs = ngram.classifier.log_probabilities_of_all(texts)?;
        // As probabilities: bounded, and linear where classes are.
        Ok(logs.rows().map(|row| row.iter().map(|log| log.exp()).collect()).collect())
    }

    fn judge(
        &self,
        data: &str,
        heads: [usize; 2],
        whole: Option<Outcome>,
        fixed: Vec<Outcome>,
        arms: Arms,
        own: Vec<Outcome>,
    ) -> Result<HeadChoice> {
        let (mut rng, texts) = (rng(&self.plan, CHOSEN + 1), arms.contexts.len());
        let best =
            (0..fixed.len()).min_by(|one, other| mean(&fixed[*one].losses).total_cmp(&mean(&fixed[*other].losses)));
        let best = best.map_or_else(String::new, |best| fixed[best].way.clone());
        let reference =
            fixed.iter().find(|found| found.way == best).map_or_else(Vec::new, |found| found.losses.clone());
        let mut outcomes: Vec<Outcome> = whole.into_iter().chain(fixed).chain(own).collect();
        for (name, losses) in arms.policies(&mut rng)? {
            outcomes.push(Outcome { way: name.into(), losses, accuracy: None });
        }
        let mut rng = crate::experiment::rng(&self.plan, RESAMPLED);
        let way = |found: Outcome| {
            let differences = found.losses.iter().zip(&reference).map(|(own, best)| own - best).collect();
            HeadChoiceWay {
                loss: mean(&found.losses),
                accuracy: found.accuracy,
                regret: (found.way != best).then(|| Interval::of_paired(&[differences], &mut rng)),
                way: found.way,
            }
        };
        let ways = outcomes.into_iter().map(way).collect();
        Ok(HeadChoice { data: data.into(), texts, heads, ways })
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}
