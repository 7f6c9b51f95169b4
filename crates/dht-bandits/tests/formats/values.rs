//! Values of every public type that implements serde.

use dht_bandits::{
    ArmId, Choice, LinUcb, Normalizer, Observation, Policy, Request, Ridge, Thompson, Ucb,
    evaluation::{
        ChampionChallenger, ConfidenceSequence, Estimator, Evaluation, EvaluationSettings, EvaluationWarning,
        LoggedRound, OutcomeModel, Prediction, PropensityModel, Replay, Target, Verdict,
    },
    exploration::{EpsilonGreedy, Floor, GrowingUcb, Softmax, SquareCb},
    features::{FeatureHasher, Interactions, PyramidPool, SparseContext},
    log::{DecisionLog, LogSettings, LoggedDecision, LoggedSlate, RewardRule, ShownArm},
    policy::{
        AdaGrad, AnyPolicy, AnyRule, BetaThompson, ChangeTest, Checkpoint, ContextFree, Disjoint, Feedback, Fixed,
        Hybrid, Normalised, NormaliserSettings, PolicyKind, PolicySettings, Propensity, ResetOnChange, RewardType,
        SharedPropensity, SlidingWindow, SoftmaxPolicy, SparsePolicy, Term, TopK, Ucb1, Uniform,
    },
    posterior::{DecayClock, DiagonalLaplace, DiscountedRidge, FullLaplace, NormalInverseGamma, Score},
    simulation::{Comparison, GlmEnvironment},
};
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};

use crate::round_trip::Visit;

const ARMS: [ArmId; 3] = [ArmId::new(0), ArmId::new(1), ArmId::new(2)];
const CONTEXT: [f64; 2] = [0.1, -1.5];
const FEATURES: [f64; 6] = [0.1, 0.2, 0.3, -0.4, 0.5, 0.6];

/// Request without a context, whose items have features.
fn items() -> Request<'static> {
    Request::new(&[]).featured(&ARMS, &FEATURES, 2).unwrap()
}

fn request() -> Request<'static> {
    Request::new(&CONTEXT).featured(&ARMS, &FEATURES, 2).unwrap()
}

/// Policy that has decided and learned.
fn learned<P: Policy>(mut policy: P, request: &Request<'_>) -> P {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    for round in 0..7 {
        let decision = policy.decide(request, &mut rng).unwrap();
        policy.learn(&decision, f64::from(round % 2)).unwrap();
    }
    policy
}

fn settings(kind: PolicyKind, exploration: Option<AnyRule>) -> PolicySettings {
    let free = kind == PolicyKind::ContextFree;
    PolicySettings::new(kind, if free { 0 } else { 2 }, 3, exploration).with_seed(9)
}

pub fn every_setting() -> Vec<PolicySettings> {
    let ucb = Some(AnyRule::Ucb(Ucb { alpha: 0.5 }));
    let decay = 0.9;
    let linear = || settings(PolicyKind::Linear, ucb);
    vec![
        linear(),
        linear().with_decay(decay).with_clock(Some(DecayClock::Updates)),
        linear().with_window(Some(4)),
        linear().with_floor(0.1),
        linear().with_reset(Some(ChangeTest::Adwin { delta: 0.01, range: 1.0 })),
        linear().with_reset(Some(ChangeTest::PageHinkley { tolerance: 0.01, threshold: 0.5 })).with_normaliser(Some(
            NormaliserSettings::default().with_warm_up(5).with_bias(true).with_floor(1e-9).with_clip(Some(4.0)),
        )),
        settings(PolicyKind::Logistic, Some(AnyRule::EpsilonGreedy(EpsilonGreedy::new(0.1)))),
        settings(PolicyKind::LinearNoise, Some(AnyRule::Thompson(Thompson { alpha: 0.1 }))),
        settings(PolicyKind::DiagonalLogistic, Some(AnyRule::Softmax(Softmax { temperature: 0.1 }))),
        settings(PolicyKind::Hybrid, Some(AnyRule::SquareCb(SquareCb::new(3.0)))).with_features(2),
        settings(PolicyKind::SharedLinear, ucb).with_features(2).with_arms(0).with_dimension(0),
        settings(PolicyKind::ContextFree, Some(AnyRule::Ucb1(Ucb1::default()))),
        settings(PolicyKind::ContextFree, Some(AnyRule::BetaThompson(BetaThompson::default()))),
        settings(PolicyKind::Uniform, None),
        settings(PolicyKind::Logistic, ucb).with_decay(decay).with_clock(Some(DecayClock::Time)),
        settings(PolicyKind::LinearNoise, ucb).with_window(Some(4)),
        settings(PolicyKind::Logistic, ucb).with_reset(Some(ChangeTest::Adwin { delta: 0.01, range: 1.0 })),
    ]
}

pub fn every_value(visit: &mut Visit) {
    rules(visit);
    settings_of_posteriors(visit);
    policies(visit);
    decisions_and_logs(visit);
    sparse_and_learned_from_logs(visit);
    explanations(visit);
    evaluations(visit);
}

fn rules(visit: &mut Visit) {
    let greedy = EpsilonGreedy::new(2.0).with_decay(0.5).with_first(9);
    visit.value(&Ucb { alpha: 0.5 });
    visit.value(&Thompson { alpha: 0.5 });
    visit.value(&EpsilonGreedy::new(0.5));
    visit.value(&greedy);
    visit.value(&Softmax { temperature: 0.5 });
    visit.value(&SquareCb { gamma: 3.0, power: 0.25 });
    let growing = GrowingUcb { alpha: 0.25, rounds: 40.0, limit: 1.5 };
    visit.value(&growing);
    visit.value(&AnyRule::GrowingUcb(growing));
    visit.value(&Ucb1 { alpha: 2.0 });
    visit.value(&BetaThompson { successes: 0.5, failures: 2.0 });
    visit.value(&AnyRule::EpsilonGreedy(greedy));
    visit.value(&AnyRule::Ucb1(Ucb1::default()));
    visit.value(&ChangeTest::PageHinkley { tolerance: 0.1, threshold: 2.0 });
    visit.value(&ChangeTest::Adwin { delta: 0.1, range: 1.0 });
    visit.value(&PolicyKind::SharedLogistic);
    visit.value(&NormaliserSettings::default().with_warm_up(3).with_bias(true).with_floor(0.1).with_rewards(true));
    visit.value(&RewardType::Real);
    visit.value(&Interactions::new(2, 3).unwrap());
    for settings in every_setting() {
        visit.value(&settings);
    }
}

fn explanations(visit: &mut Visit) {
    let policy = learned(LinUcb::new(2, 3, Ridge::default(), Ucb { alpha: 0.5 }).unwrap(), &Request::new(&CONTEXT));
    let decision = policy.decide(&Request::new(&CONTEXT), &mut ChaCha8Rng::seed_from_u64(3)).unwrap();
    visit.value(&policy.explain(&decision).unwrap());
    [Term::Column(3), Term::Product(1, 2), Term::Constant].iter().for_each(|term| visit.value(term));
}

fn settings_of_posteriors(visit: &mut Visit) {
    let decay = 0.9;
    visit.value(&Ridge::new(2.0).with_decay(decay).with_keep_information(true));
    visit.value(&DiscountedRidge::new(decay).with_prior_precision(2.0).with_clock(DecayClock::Time));
    visit.value(&DecayClock::Time);
    visit.value(&NormalInverseGamma::new(3.0));
    visit.value(&FullLaplace::new(3.0));
    visit.value(&DiagonalLaplace::default().with_prior_precision(3.0).with_decay(decay));
    visit.value(&DiagonalLaplace::default().with_prior_mean(1.0));
    visit.value(&PyramidPool::grid(0..=1, 2..=3).unwrap());
    visit.value(&Score { mean: 0.25, width: 0.5 });
    visit.value(&SharedPropensity::Integral);
    visit.value(&SharedPropensity::Estimated { lines: 64 });
    visit.value(&Floor::new(Softmax { temperature: 0.5 }, 0.1).unwrap());
    let floored = Floor::new(Ucb { alpha: 0.5 }, 0.25).unwrap();
    visit.policy(&Disjoint::<Ridge, _>::new(2, 3, Ridge::default(), floored).unwrap());
    let omitted = TopK::shared(2, Ridge::default(), Thompson { alpha: 0.5 }).unwrap();
    visit.policy(&omitted.with_shared_propensity(SharedPropensity::Omitted).unwrap());
}

fn policies(visit: &mut Visit) {
    let ridge = Ridge::default().with_keep_information(true);
    let plain = Request::new(&CONTEXT);
    let (ucb, thompson) = (Ucb { alpha: 0.5 }, Thompson { alpha: 0.5 });
    let mut linear = learned(LinUcb::new(2, 3, ridge, ucb).unwrap(), &plain);
    let before = linear.clone();
    linear.remove_arm(ARMS[1]).unwrap();
    let linear = learned(linear, &Request::new(&CONTEXT).only(&[ARMS[2]]));
    visit.value(&linear.state());
    visit.policy(&linear);
    visit.value(&linear.diff(&before).unwrap());
    let discounted = DiscountedRidge::new(0.9);
    visit.value(&learned(Disjoint::<DiscountedRidge, _>::new(2, 3, discounted, ucb).unwrap(), &plain).state());
    visit.value(&learned(Disjoint::new(2, 3, NormalInverseGamma::default(), thompson).unwrap(), &plain).state());
    visit.value(&learned(Disjoint::new(2, 3, FullLaplace::default(), thompson).unwrap(), &plain).state());
    let diagonal = DiagonalLaplace::default();
    visit.value(&learned(Disjoint::new(2, 3, diagonal, thompson).unwrap(), &plain).state());
    let hybrid = Hybrid::new(2, 2, 3, 1.0, ucb).unwrap();
    let after = learned(hybrid.clone(), &request());
    visit.value(&after.state());
    visit.policy(&after);
    visit.value(&after.diff(&hybrid).unwrap());
    let shared = learned(TopK::shared(2, ridge, thompson).unwrap(), &items());
    visit.value(&shared.state());
    visit.policy(&shared);
    let free = learned(ContextFree::new(3, BetaThompson::default()).unwrap(), &Request::new(&[]));
    visit.value(&free.state());
    visit.policy(&free);
    visit.value(&Uniform::new(2, 3).unwrap().state());
    visit.policy(&Uniform::new(2, 3).unwrap());
    visit.value(&Fixed::new(2, 3, ARMS[1]).unwrap().state());
    visit.policy(&Fixed::new(2, 3, ARMS[1]).unwrap());
    for warm_up in [3, 50] {
        let inner = LinUcb::new(3, 3, ridge, ucb).unwrap();
        visit.policy(&learned(Normalised::new(inner, Normalizer::new(2).unwrap(), warm_up, true).unwrap(), &plain));
    }
    let normalizer = Normalizer::new(2).unwrap().with_floor(0.1).unwrap().with_clip(3.0).unwrap();
    let mut normalizer = normalizer.with_decay(0.9).unwrap();
    normalizer.observe(&CONTEXT).unwrap();
    visit.value(&normalizer.state());
    visit.policy(&normalizer);
    let window = SlidingWindow::new(LinUcb::new(2, 3, Ridge::default(), ucb).unwrap(), 4).unwrap();
    visit.policy(&learned(window, &plain));
    let reset =
        ResetOnChange::new(LinUcb::new(2, 3, ridge, ucb).unwrap(), ChangeTest::Adwin { delta: 0.1, range: 1.0 })
            .unwrap();
    visit.policy(&learned(reset, &plain));
    for settings in every_setting() {
        let blank = AnyPolicy::new(settings.clone()).unwrap();
        let policy = learned(
            blank.clone(),
            &match (settings.dimension, settings.features) {
                (_, 0) => plain,
                (0, _) => items(),
                _ => request(),
            },
        );
        visit.policy(&policy);
        if let Ok(delta) = policy.diff(&blank) {
            visit.value(&delta);
        }
    }
}

fn sparse_and_learned_from_logs(visit: &mut Visit) {
    let mut hasher = FeatureHasher::new(18).unwrap();
    hasher.text("title", "red shoes");
    let (context, space) = (hasher.context().unwrap(), hasher.space());
    let request = Request::from(&context);
    visit.value(&space);
    visit.value(&AdaGrad::new(RewardType::Binary).with_learning_rate(0.25));
    let laplace = SparsePolicy::new(space, 3, DiagonalLaplace::default(), SquareCb::new(5.0)).unwrap();
    let laplace = learned(laplace, &request);
    visit.value(&laplace.state());
    visit.policy(&laplace);
    let adagrad = SparsePolicy::shared(space, AdaGrad::default(), Softmax { temperature: 0.5 }).unwrap();
    let (rows, width) = SparseContext::rows([&context, &context, &context]).unwrap();
    visit.policy(&learned(adagrad, &Request::new(&[]).featured(&ARMS, &rows, width).unwrap()));
    visit.value(&laplace.decide(&request, &mut ChaCha8Rng::seed_from_u64(3)).unwrap());
    let gradient = learned(SoftmaxPolicy::sparse(space, 3).unwrap(), &request);
    visit.value(&gradient.state());
    visit.policy(&gradient);
    let robust = learned(SoftmaxPolicy::new(2, 3).unwrap().doubly_robust().unwrap(), &Request::new(&CONTEXT));
    visit.value(&robust.state());
    visit.policy(&ConfidenceSequence::doubly_robust((0.0, 1.0), 0.05, 20.0).unwrap());
    let (champion, challenger) = (Uniform::new(2, 3).unwrap(), robust);
    let mut service = ChampionChallenger::new(champion, challenger, (0.0, 1.0), 0.05).unwrap();
    let pair = service.decide(&Request::new(&CONTEXT), &mut ChaCha8Rng::seed_from_u64(3)).unwrap();
    service.learn(&pair, 1.0).unwrap();
    visit.value(&pair);
    visit.policy(&service);
}

fn decisions_and_logs(visit: &mut Visit) {
    let mut rng = ChaCha8Rng::seed_from_u64(6);
    let policy = LinUcb::new(2, 3, Ridge::default(), Ucb { alpha: 0.5 }).unwrap();
    let decision = policy.decide(&Request::new(&CONTEXT), &mut rng).unwrap();
    visit.value(&ARMS[2]);
    visit.value(&Choice { propensity: None, epoch: 3, ..decision.choice });
    visit.value(&decision);
    visit.value(&Observation::new(decision, 0.5));
    visit.value(&Propensity { arm: ARMS[1], probability: 0.25, standard_error: 0.01 });
    let shared = TopK::shared(2, Ridge::default(), Thompson { alpha: 0.5 }).unwrap();
    visit.value(&shared.decide_slate(2, &items(), &mut rng).unwrap());
    visit.value(&Feedback::Observed(0.5));
    visit.value(&Feedback::Unobserved);
    let (available, features) = (Some(ARMS.to_vec()), Some(FEATURES.to_vec()));
    let bare = LoggedDecision::new(CONTEXT.to_vec(), ARMS[0], 0.5, 1.0);
    visit.value(&bare);
    // An optional field that is present after an optional field that is absent.
    visit.value(&LoggedDecision { features: features.clone(), drop_probability: 0.5, ..bare.clone() });
    let probabilities = Some(vec![(ARMS[0], 0.5), (ARMS[1], 0.5)]);
    visit.value(&LoggedDecision { propensity_error: 0.25, ..bare.clone() });
    visit.value(&LoggedDecision { available: available.clone(), probabilities, ..bare });
    let shown = vec![ShownArm { arm: ARMS[0], propensity: Some(0.5), feedback: Feedback::Observed(1.0) }];
    visit.value(&shown[0]);
    visit.value(&LoggedSlate { shown: shown.clone(), features: features.clone(), ..LoggedSlate::default() });
    visit.value(&LoggedSlate { context: CONTEXT.to_vec(), shown, available: available.clone(), features: None });
    visit.value(&LogSettings::default().with_horizon(Some(3.0)).with_rotate_bytes(9).with_sync(true));
    visit.value(&LogSettings::default().with_default_reward(Some(0.5)));
    visit.value(&LogSettings::default().with_horizon(Some(0.5)).with_unobserved(true));
    visit.value(&LogSettings::default().with_reward_rule(RewardRule::Sum));
    visit.value(&RewardRule::Last);
    let folder = tempfile::tempdir().unwrap();
    let log = DecisionLog::open(folder.path(), LogSettings::default()).unwrap();
    visit.policy(&Checkpoint::new(Uniform::new(2, 3).unwrap(), &log));
}

fn evaluations(visit: &mut Visit) {
    let prediction = Prediction { logged: 0.5, expected: 0.25 };
    visit.value(&prediction);
    visit.value(&LoggedRound { prediction: Some(prediction), ..LoggedRound::new(1.0, 0.5, 0.25) });
    visit.value(&LoggedRound::new(1.0, 0.5, 0.25));
    visit.value(&Estimator::Direct);
    visit.value(&Estimator::SwitchDoublyRobust { threshold: 4.0 });
    visit.value(&OutcomeModel::SharedLogistic { prior_precision: 2.0 });
    visit.value(
        &EvaluationSettings::default()
            .with_model(None)
            .with_folds(3)
            .with_resamples(40)
            .with_reward_range(Some((0.0, 1.0))),
    );
    let row = |number: u64| LoggedDecision::new(vec![1.0, number as f64], ARMS[(number % 3) as usize], 1.0 / 3.0, 0.5);
    let log: Vec<_> = (0..60).map(row).collect();
    let settings = EvaluationSettings::default().with_resamples(40).with_reward_range(Some((0.0, 1.0)));
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let table = Evaluation::run(&log, &[Target::always(ARMS[0])], &settings, &mut rng).unwrap();
    visit.value(&table.rows[1]);
    visit.value(&table.rows[1].estimate);
    visit.value(&table);
    visit.value(&PropensityModel { prior_precision: 0.5 });
    visit.value(&Verdict::Undecided);
    visit.value(&EvaluationWarning::NoPropensities);
    visit.value(&EvaluationWarning::EstimatedPropensities { rows: 3 });
    visit.value(&EvaluationWarning::UnknownTraining { policy: "new".to_owned(), updates: 7 });
    visit.value(&table);
    let mut policy = Uniform::new(2, 3).unwrap();
    visit.value(&Replay::run(&mut policy, &log, None, &mut rng).unwrap());
    let policies: [(&str, Box<dyn Policy>); 1] = [("uniform", Box::new(Uniform::new(2, 2).unwrap()))];
    let comparison =
        Comparison::run(&policies, |rng: &mut ChaCha8Rng| GlmEnvironment::linear(2, 2, 0.1, rng), 20, &[1, 2]).unwrap();
    visit.value(&comparison.runs[0].1[0]);
    visit.value(&comparison);
}
