//! Dynamic transformers: contextual bandits choose for each text how many layers of a BERT-family encoder it runs and
//! which heads it keeps, in training and in inference alike.
//!
//! # How the data flows
//!
//! ```text
//!  PackedBatch ──base layers──▶ Hidden ──pool──▶ context ──Router──▶ exit            how deep
//!                                 │
//!            ┌────────────────────┘
//!            ▼          before each group of layers, for the samples that remain
//!          Hidden ──pool──▶ context ──HeadRouter──▶ HeadSet                          how wide
//!            │
//!            ├──layers of the group, with these heads alone──▶ Hidden, on to the next group
//!            ▼          at each sample's exit
//!           Exit ──▶ logits ──▶ loss ──▶ gradient ──▶ optimiser
//!                                └─────▶ reward ───▶ routers
//! ```
//!
//! A [`SearchSpace`] lists the [`Route`]s. [`SearchSettings`] name the routers, how they learn and how exits are trained. A
//! [`SearchModel`] is a [`RoutedEncoder`] (an encoder with exits) with a [`Router`] for depth and a [`HeadRouter`] for heads. A
//! [`SearchObjective`] trains it with the one training loop, [`Trainer`](transformer::Trainer). Training and inference run
//! the same executor; inference neither explores nor learns.
//!
//! # A complete program
//!
//! ```
//! use candle_core::Device;
//! use dht_search::transformer::{
//!     AdamWSettings, BertConfig, Dataset, Encoder, Example, TextTokenizer, TrainSettings, Trainer,
//! };
//! use dht_search::dynamic::evaluate;
//! use dht_search::{Error, Preset, SearchModel, SearchObjective, SearchSettings};
//! use rand::SeedableRng;
//!
//! let examples = vec![
//!     Example::new("A fine day", 1), Example::new("Fine food", 1), Example::new("The food was fine", 1),
//!     Example::new("A bad day", 0), Example::new("Bad food", 0), Example::new("The food was bad", 0),
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
//! let mut search = SearchObjective::new(SearchModel::new(encoder, space, settings, data.labels.len(), &mut rng)?)?;
//!
//! let optimizer = AdamWSettings { learning_rate: 1e-2, ..AdamWSettings::default() };
//! let training = TrainSettings { epochs: 30, batch_size: 3, optimizer, ..TrainSettings::default() };
//! // A program that reports a score has a validation set for the third argument, and a test set for the evaluation.
//! Trainer::new(training).fit(&mut search, &encoded, &encoded, &mut ())?;
//!
//! let mut model = search.into_model();
//! model.set_speed(0.05)?; // λ: the price of the full model's cost in nats of loss
//! let evaluation = evaluate(&model, &encoded, 6)?;
//! assert_eq!(evaluation.confusion.macro_f1(), 1.0);
//! // Both costs, the paper's estimate and the FLOPs of all products; the first alone is too optimistic.
//! let flops_ratio = evaluation.flops as f64 / model.full_inference_flops(&encoded)? as f64;
//! println!("{:.2} by layers and heads, {flops_ratio:.2} by FLOPs", evaluation.layer_head_ratio);
//! # Ok::<(), Error>(())
//! ```
//!
//! # Catalogue
//!
//! | to | take |
//! |---|---|
//! | list the routes of a search | [`SearchSpace`], [`SpaceConfig`] and all of [`space`]; [`Preset`] for the paper's, [`SpaceConfig::from_toml_file`] for one in a file |
//! | name a route | [`Route`]; [`RouteSpec`] for its notation, `12L8H` |
//! | choose a router | [`SearchSettings::router`], a tree or an integrated [`Search`](space::Search) in the space; [`settings`] for the rest |
//! | write a router of your own | [`Router`], [`HeadRouter`], [`SearchModel::with_router`] |
//! | choose how exits are trained | [`settings::ExitLosses`], [`settings::FullModelSteps`], [`settings::SoftLabels`] with [`SearchObjective::with_teacher`] |
//! | train | [`SearchObjective`], [`SearchObjective::with_next_phase`] for P-DHT |
//! | predict and score | [`SearchModel::predict_batch`], [`evaluate`](dynamic::evaluate()), [`Predictor`](dynamic::Predictor) for a baseline of your own |
//! | run the paper's own search | [`SearchSettings::paper`], [`settings::deviations`] for where it differs from the paper, [`evaluation::evaluate_queued`] |
//! | make a fine-tuned classifier cheaper without touching its weights | [`accelerate()`](dynamic::accelerate()) of `dht-dynamic`; [`routing::ExitBandits`] for its models |
//! | run a model of n-grams before classifiers, or with one | [`baselines::Cascade`], [`baselines::Stacked`] |
//! | train a baseline: truncations, DistilBERT, FastBERT, PABEE | [`baselines`] |
//! | read every exit's answers in one pass | [`evaluation::exit_log_probabilities`] |
//! | compare with controls | [`evaluation::controls`]: fixed, random, shuffled and oracle routes; [`Regret`] |
//! | trade quality for speed at run time | [`SearchModel::with_speed`], [`calibrate`](dynamic::evaluation::calibrate()) for a budget of FLOPs |
//! | answer from many threads | an [`Engine`](dynamic::Engine) of the model |
//! | save a model | [`SearchModel::save`] and [`load`](SearchModel::load) |
//! | make rewards of losses | [`reward`] |
//! | count or measure what a route costs | [`CostModel`] and [`cost`] |
//! | read the cost and the decisions of a training | [`CostAccounting`], [`training`] |
//! | use the parts alone | [`bandits`], [`dynamic`], [`transformer`] |
//!
//! # What holds throughout
//!
//! - **Every sample once an epoch**, with queues too: samples still queued at an epoch's end are trained on then. Texts that are held
//!   out for the bandits ([`settings::LossSource::HeldOut`]) never.
//! - **The cost accounting equals the count of all matrix products** that run: [`CostAccounting::flops`] and
//!   [`Evaluation::flops`](dynamic::Evaluation::flops) include second passes, passes for arm features, of a teacher and of held-out texts; the FLOPs of the
//!   routers are counted separately, by formula. [`cost`] says what is counted and what is left out.
//! - **One seed, one result.** Stopped in mid-epoch and resumed, a training ends with the bits of one that was not.
//! - **A text's route may depend on its batch**: samples that keep equally many heads share one head set, chosen for the
//!   mean of their contexts. Exits and head counts depend on the text and the heads that ran before.
//!
//! # Texts of one class each
//!
//! Every step from exit to answer is of a distribution over classes: an exit's worth is its cross-entropy, and
//! bandits see how sure it is. Of several
//! labels some may be sure at an exit where others are not, and a number has no probability at all; a rule for either would be
//! another method, with results of its own to show. Such texts are refused ([`Error::Setting`], `targets`). For them there are
//! whole, truncated and pruned encoders ([`transformer::Task`], [`transformer::pruning`]).
//!
//! # When not to use it
//!
//! With fewer contexts than [`SearchSettings::warm_up_contexts`] in a training the bandits never learn, and inference runs
//! the full model. Where every text needs the same depth a fixed exit costs less than choosing one; the [`Regret`] shows
//! it. The paper's own settings ([`SearchSettings::paper`]) are for comparison, not for use.

pub mod baselines;
pub mod cost;
pub mod error;
pub mod evaluation;
pub mod features;
pub mod model;
pub mod reward;
pub mod routing;
pub mod settings;
pub mod space;
pub mod training;

pub use cost::CostModel;
pub use error::{Error, Result};
pub use evaluation::Regret;
pub use model::{RoutedEncoder, SearchModel};
pub use routing::{Decisions, ForwardTrace, HeadRouter, Router, StageView};
pub use settings::SearchSettings;
pub use space::{Preset, Route, RouteSpec, SearchSpace, SpaceConfig};
pub use training::{CostAccounting, SearchObjective};

pub use dht_bandits as bandits;
pub use dht_dynamic as dynamic;
pub use dht_transformer as transformer;

#[doc = include_str!("../README.md")]
#[cfg(doctest)]
struct ReadmeSnippets;
