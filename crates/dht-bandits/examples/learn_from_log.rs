//! Learns policies from a log by several methods, and evaluates them on labelled rows. `scripts/compare_offline.py`
//! runs it.
//!
//! Usage: `learn_from_log LOG.csv TEST.csv [PASSES] [RATE]`. The log has the columns `arm,propensity,reward` and
//! features; in the test rows, the column `arm` contains the right arm. It prints the accuracy of each learner, and
//! that of the log.

use std::error::Error;
use std::fs::File;
use std::sync::Arc;

use dht_bandits::evaluation::OutcomeModel;
use dht_bandits::features::FeatureHasher;
use dht_bandits::log::{CsvRows, LoggedDecision};
use dht_bandits::policy::{AdaGrad, Oracle, OraclePolicy, RewardType, SoftmaxPolicy, SparsePolicy};
use dht_bandits::{ArmId, LinUcb, Policy, Request, Ridge, Ucb, policy::Disjoint, posterior::FullLaplace};
use smartcore::linalg::basic::matrix::DenseMatrix;
use smartcore::xgboost::xgb_regressor::{XGRegressor, XGRegressorParameters};

const GREEDY: Ucb = Ucb { alpha: 0.0 };

type Booster = XGRegressor<f64, f64, DenseMatrix<f64>, Vec<f64>>;

/// Gradient-boosted trees that predict the reward of one arm, and the rows that they learn from.
#[derive(Debug, Clone, Default)]
struct BoostedArm {
    contexts: Vec<Vec<f64>>,
    rewards: Vec<f64>,
    fitted: usize,
    booster: Option<Arc<Booster>>,
}

impl BoostedArm {
    fn fit(&mut self) -> dht_bandits::Result<()> {
        let settings = XGRegressorParameters::default().with_n_estimators(60).with_max_depth(3).with_learning_rate(0.1);
        let fit = DenseMatrix::from_2d_vec(&self.contexts).and_then(|x| Booster::fit(&x, &self.rewards, settings));
        let problem = |error: smartcore::error::Failed| dht_bandits::Error::Settings { problem: error.to_string() };
        (self.booster, self.fitted) = (Some(Arc::new(fit.map_err(problem)?)), self.rewards.len());
        Ok(())
    }
}

/// Reward model of gradient-boosted trees for each arm: the direct method.
#[derive(Debug, Clone, Default)]
struct BoostedTrees(Vec<BoostedArm>);

impl BoostedTrees {
    /// Learns a whole log at once.
    fn from_log(log: &[LoggedDecision], arms: usize) -> dht_bandits::Result<Self> {
        let mut trees = vec![BoostedArm::default(); arms];
        for row in log {
            let arm = &mut trees[row.arm.number() as usize];
            arm.contexts.push(row.context.clone());
            arm.rewards.push(row.reward);
        }
        trees.iter_mut().filter(|arm| !arm.rewards.is_empty()).try_for_each(BoostedArm::fit)?;
        Ok(Self(trees))
    }
}

impl Oracle for BoostedTrees {
    fn predict(&self, arm: ArmId, context: &[f64]) -> f64 {
        let booster = self.0.get(arm.number() as usize).and_then(|arm| arm.booster.as_ref());
        let row = DenseMatrix::new(1, context.len(), context.to_vec(), false);
        let predicted = booster.zip(row.ok()).and_then(|(booster, row)| booster.predict(&row).ok());
        predicted.map_or(0.0, |values| values[0])
    }

    /// Trees are fitted again when an arm has a quarter more rows. They do not support weights.
    fn learn(&mut self, arm: ArmId, context: &[f64], reward: f64, _: f64) -> dht_bandits::Result<()> {
        let trees = &mut self.0[arm.number() as usize];
        trees.contexts.push(context.to_vec());
        trees.rewards.push(reward);
        if trees.rewards.len() * 4 > trees.fitted * 5 { trees.fit() } else { Ok(()) }
    }

    fn add_arm(&mut self, arm: ArmId) {
        self.0.resize_with(self.0.len().max(arm.number() as usize + 1), BoostedArm::default);
    }
}

/// Returns the rows with all products of two features, hashed.
fn with_products(hasher: &mut FeatureHasher, rows: &[LoggedDecision]) -> dht_bandits::Result<Vec<LoggedDecision>> {
    let product = |row: &LoggedDecision| {
        hasher.clear();
        for (column, value) in row.context.iter().enumerate() {
            hasher.number("x", &column.to_string(), *value)?;
        }
        Ok(LoggedDecision { context: hasher.context()?.into_values(), ..row.clone() })
    };
    rows.iter().map(product).collect()
}

fn read(path: &str) -> Result<Vec<LoggedDecision>, Box<dyn Error>> {
    Ok(CsvRows::new(File::open(path)?, path)?.collect::<Result<_, _>>()?)
}

/// Fraction of rows in which the most probable arm is the right one. If n arms tie and one of them is right, the row
/// counts 1/n.
fn accuracy(policy: &dyn Policy, rows: &[LoggedDecision]) -> Result<f64, dht_bandits::Error> {
    let mut right = 0.0;
    for row in rows {
        let all = policy.propensities(&Request::new(&row.context))?;
        let most = all.iter().fold(0.0, |most: f64, entry| most.max(entry.probability));
        let best: Vec<_> = all.iter().filter(|entry| entry.probability >= most).collect();
        right += if best.iter().any(|entry| entry.arm == row.arm) { 1.0 / best.len() as f64 } else { 0.0 };
    }
    Ok(right / rows.len() as f64)
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [log, test, rest @ ..] = &arguments[..] else {
        return Err("usage: learn_from_log LOG.csv TEST.csv [PASSES] [RATE]".into());
    };
    let passes: usize = rest.first().map_or(Ok(20), |text| text.parse())?;
    let rate: f64 = rest.get(1).map_or(Ok(0.05), |text| text.parse())?;
    let (log, test) = (read(log)?, read(test)?);
    let dimension = log.first().ok_or("the log is empty")?.context.len();
    let arms = log.iter().chain(&test).map(|row| row.arm.number() + 1).max().unwrap_or(0) as usize;
    let mean = log.iter().map(|row| row.reward).sum::<f64>() / log.len() as f64;
    println!("log {mean:.4}");
    let d = dimension as f64;
    let greedy = |precision: f64| LinUcb::new(dimension + 1, arms, Ridge::new(precision), GREEDY);
    let with_constant =
        |row: &LoggedDecision| LoggedDecision { context: [&row.context[..], &[1.0]].concat(), ..row.clone() };
    let of_ridge: Vec<_> = test.iter().map(with_constant).collect();
    let learned: Vec<_> = log.iter().map(with_constant).collect();
    for (name, precision) in [("ridge", d / 4.0), ("ridge-16d", 16.0 * d)] {
        let mut ridge = greedy(precision)?;
        ridge.fit(&learned)?;
        println!("{name} {:.4}", accuracy(&ridge, &of_ridge)?);
    }
    let mut logistic = Disjoint::new(dimension + 1, arms, FullLaplace::new(d / 4.0), GREEDY)?;
    logistic.fit(&learned)?;
    println!("logistic {:.4}", accuracy(&logistic, &of_ridge)?);
    let all: Vec<ArmId> = (0..arms as u64).map(ArmId::new).collect();
    let estimated = OutcomeModel::Ridge { prior_precision: d / 4.0 }.estimate_rewards(5, &log, &all)?;
    let mut reduced = greedy(d / 4.0)?;
    reduced.fit(&estimated.iter().map(with_constant).collect::<Vec<_>>())?;
    println!("reduction {:.4}", accuracy(&reduced, &of_ridge)?);
    let trees = OraclePolicy::new(BoostedTrees::from_log(&log, arms)?, dimension, arms, GREEDY)?;
    println!("trees {:.4}", accuracy(&trees, &test)?);
    let mut hasher = FeatureHasher::new(16)?.with_interactions([("x", "x")])?;
    let (products, of_products) = (with_products(&mut hasher, &log)?, with_products(&mut hasher, &test)?);
    let mut direct = SparsePolicy::new(hasher.space(), arms, AdaGrad::new(RewardType::Real), GREEDY)?;
    for _ in 0..passes {
        direct.fit(&products)?;
    }
    println!("products {:.4}", accuracy(&direct, &of_products)?);
    for (name, mut policy) in [
        ("ips", SoftmaxPolicy::new(dimension, arms)?.with_learning_rate(rate)?),
        ("dr", SoftmaxPolicy::new(dimension, arms)?.with_learning_rate(rate)?.doubly_robust()?),
    ] {
        for _ in 0..passes {
            policy.fit(&log)?;
        }
        println!("{name} {:.4}", accuracy(&policy, &test)?);
    }
    Ok(())
}
