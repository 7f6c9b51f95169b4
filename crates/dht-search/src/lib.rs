//! Dynamic transformers: contextual bandits choose for each text how many layers of a BERT-family encoder it runs and
//! which heads it keeps, in training and inference alike.
//!
//! # The way of the data
//!
//! ```text
//!  PackedBatch ──base layers──▶ Hidden ──pool──▶ context ──UCB_L──▶ exit        how deep
//!                                 │
//!            ┌────────────────────┘
//!            ▼          before each group of layers, for the samples that go on
//!          Hidden ──pool──▶ context ──UCB_H──▶ number of heads ──TSB──▶ HeadSet  how wide
//!            │
//!            ├──layers of the group, with these heads alone──▶ Hidden, on to the next group
//!            ▼          at each sample's exit
//!         classifier ──▶ logits ──▶ loss ──▶ gradient ──▶ optimiser
//!                                    └─────▶ reward ───▶ bandits
//! ```
//!
//! A [`SearchSpace`] says which [`Route`]s there are, [`SearchSettings`] how the bandits see, choose and are rewarded. A
//! [`DynamicModel`] is both with an encoder, and an [`Objective`](transformer::Objective) of the one training loop. The
//! executor is the same in training and inference; at inference nothing is explored and nothing learned.
//!
//! # The shortest honest program
//!
//! ```
//! use candle_core::Device;
//! use dht_search::transformer::{
//!     AdamWSettings, BertConfig, Dataset, Encoder, Example, TextTokenizer, TrainSettings, Trainer,
//! };
//! use dht_search::{DynamicModel, Error, Preset, SearchSettings};
//! use rand::SeedableRng;
//!
//! let example = |text: &str, label| Example { text: text.into(), pair: None, label, targets: Vec::new() };
//! let examples = vec![
//!     example("A fine day", 1), example("Fine food", 1), example("The food was fine", 1),
//!     example("A bad day", 0), example("Bad food", 0), example("The food was bad", 0),
//! ];
//! let data = Dataset::from_examples("reviews", vec!["bad".into(), "good".into()], examples)?;
//! let tokenizer = TextTokenizer::train(data.examples.iter().map(|example| &*example.text), 100)?;
//! let encoded = tokenizer.encode_all(&data, 16)?;
//!
//! let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
//! let config = BertConfig::small(4, 6, 24, tokenizer.vocabulary_size())?;
//! let encoder = Encoder::random(&config, &Device::Cpu, &mut rng)?;
//! let space = Preset::TDht.space(4, 6)?; // exits at 1, 2, 3 and 4 layers; 4, 5 or 6 heads
//! let settings = SearchSettings { warm_up_contexts: 30, ..SearchSettings::default() };
//! let mut model = DynamicModel::new(encoder, space, settings, data.labels.len(), &mut rng)?;
//!
//! let optimizer = AdamWSettings { learning_rate: 1e-2, ..AdamWSettings::default() };
//! let training = TrainSettings { epochs: 30, batch_size: 3, optimizer, ..TrainSettings::default() };
//! // A program that reports a number has a validation set for the third argument, and a test set for the score.
//! Trainer::new(training).fit(&mut model, &encoded, &encoded, &mut ())?;
//!
//! model.set_lambda(0.05)?; // the knob: what the cost of a whole model is worth in nats of loss
//! let evaluation = model.evaluate(&encoded, 6)?;
//! assert_eq!(evaluation.confusion.macro_f1(), 1.0);
//! // Both costs, the paper's estimate and what ran; the first alone would flatter.
//! let flops_ratio = evaluation.flops as f64 / model.full_inference_flops(&encoded)? as f64;
//! println!("{:.2} by layers and heads, {flops_ratio:.2} by FLOPs", evaluation.layer_head_ratio);
//! # Ok::<(), Error>(())
//! ```
//!
//! # Catalogue
//!
//! | to | take |
//! |---|---|
//! | say which routes there are | [`SearchSpace`], [`SpaceConfig`], [`Search`], [`Preset`] for the paper's, [`SpaceConfig::from_toml_file`] for one in a file |
//! | name a route | [`Route`], and [`RouteSpec`] for how it is written: `12L8H` |
//! | choose who decides | a tree or an integrated [`Search`] in the space; [`DepthDecision`], [`HeadArms`], [`HeadDraws`], [`CostModel`] |
//! | go on in another space (P-DHT) | [`DynamicModel::with_next_phase`] |
//! | choose how the search works | [`SearchSettings`], ours by default, [`SearchSettings::paper`] for the paper's |
//! | train by another plan | [`ExitLosses`], [`FullModelSteps`], [`SoftLabels`] with [`DynamicModel::with_teacher`], [`LossSource`] |
//! | train, evaluate, predict | [`DynamicModel`], [`Evaluation`], [`Prediction`] |
//! | compare with controls | [`DynamicModel::evaluate_fixed`], [`evaluate_random`](DynamicModel::evaluate_random), [`evaluate_shuffled`](DynamicModel::evaluate_shuffled) for the same routes dealt at random, [`evaluate_oracle`](DynamicModel::evaluate_oracle) for routes chosen with the label in view; [`FixedArms`] for the [`Regret`] |
//! | trade quality for speed at run time | [`DynamicModel::with_speed`], [`calibrate`](DynamicModel::calibrate) for a budget, [`SpeedCurve`] for several |
//! | answer from many threads | [`Engine`], [`Query`], [`Answer`] |
//! | keep a model | [`DynamicModel::save`] and [`load`](DynamicModel::load) |
//! | make rewards of losses | [`RewardRule`], [`RewardShape`], [`RewardMemory`], [`CostWeightedLoss`], [`HeadFeedback`] |
//! | count or measure what a route costs | [`LayerHeadCount`], [`FlopsCost`], [`MeasuredCost`], [`WidthCoupling`] |
//! | see what a training did and cost | [`CostAccounting`], [`CurveRecorder`] |
//! | use the parts alone | [`bandits`], [`transformer`] |
//!
//! # What holds throughout
//!
//! - **Every sample once an epoch**, with queues too: what waits at an epoch's end is trained on then. Texts that are held
//!   out for the bandits ([`LossSource::HeldOut`]) never.
//! - **The books say what ran.** [`CostAccounting::flops`] and [`Evaluation::flops`] equal the count of all products: second
//!   passes, passes for arm features, of a teacher and of held-out texts included; the bandits' own work stands beside it.
//! - **One seed, one result.** Stopped in mid-epoch and resumed, a training ends with the bits of one that was not.
//! - **A text's route may depend on its batch**: samples that keep equally many heads share one head set, chosen for the
//!   mean of their contexts. Exits and head counts depend on the text and the heads that ran before.
//!
//! # When not to use it
//!
//! With fewer contexts than [`SearchSettings::warm_up_contexts`] in a training the bandits never learn, and inference runs
//! the whole model. Where every text needs the same depth a fixed exit costs less than choosing one; the
//! [`Regret`] tells. The paper's own settings ([`SearchSettings::paper`]) are here to be compared with, not to be used.

mod cost;
mod engine;
mod error;
mod evaluation;
mod features;
mod model;
mod reward;
mod routing;
mod settings;
mod space;
mod training;

pub use cost::{CostModel, FlopsCost, LayerHeadCount, LayerSeconds, MeasuredCost, WidthCoupling};
pub use engine::{Answer, Engine, Query};
pub use error::{Error, Result, SpaceFileProblem};
pub use evaluation::{CALIBRATION_TOLERANCE, Evaluation, FixedArms, Prediction, Regret, Speed, SpeedCurve};
pub use features::{DEPTH_PYRAMID, HEAD_SET_PYRAMID, HEADS_PYRAMID, PoolingPyramid};
pub use model::DynamicModel;
pub use reward::{
    CostWeightedLoss, HeadFeedback, Reward, RewardMemory, RewardReference, RewardRule, RewardShape, SMALLEST_LOSS,
};
pub use settings::{
    ClassifierSharing, ContextDesign, DepthDecision, Dispatch, ExitLosses, FullModelSteps, HeadArms, HeadDraws,
    LossSource, PerBandit, SearchSettings, SoftLabels, Teacher,
};
pub use space::{
    BaseState, FROZEN_LAYERS, FULL_EPOCHS_BEFORE_FREEZING, GroupRole, LayerGroup, ModelShape, Preset, Route, RouteArms,
    RouteGroup, RouteSpec, Search, SearchSpace, Segment, SevenLayerHeads, SpaceConfig, exits, head_options,
    pinned_heads,
};
pub use training::{CostAccounting, CurveRecorder, Curves, GroupHeads, LossCurve, SetCount};

pub use dht_bandits as bandits;
pub use dht_transformer as transformer;
