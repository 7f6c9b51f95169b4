//! Dynamic transformers: contextual bandits select, for each text, how many layers and which attention heads of a
//! BERT-family encoder run, in training and in inference.
//!
//! # Data flow
//!
//! ```text
//!  PackedBatch ──base layers──▶ Hidden ──pool──▶ context ──Router──▶ exit             how deep
//!                                 │
//!            ┌────────────────────┘
//!            ▼          before each group of layers, for the samples that remain
//!          Hidden ──pool──▶ context ──Router──▶ HeadSet                               how wide
//!            │
//!            ├──layers of the group, with these heads alone──▶ Hidden, on to the next group
//!            ▼          at each sample's exit
//!           Exit ──▶ logits ──▶ loss ──▶ gradient ──▶ optimiser
//!                                └─────▶ reward ───▶ routers
//! ```
//!
//! A [`SearchSpace`] lists the [`Route`]s: how many layers a text may run, and how many heads each layer may keep.
//! [`SearchSettings`] define the routers, their learning, and the training of the exits. A [`SearchModel`] has an
//! [`ExitModel`](dynamic::ExitModel) (an encoder with exits) and two routers that learn ([`Learner`]): one for depth,
//! one for heads. A [`SearchObjective`] trains the model in the common training loop,
//! [`Trainer`](transformer::Trainer). Training and inference use the same forward pass,
//! [`Walk`](dynamic::passage::Walk); inference neither explores nor learns.
//!
//! # A complete program
//!
//! ```
//! use candle_core::Device;
//! use dht_search::transformer::{
//!     AdamWSettings, BertConfig, Dataset, Encoder, Example, TextTokenizer, TrainSettings,
//!     Trainer,
//! };
//! use dht_search::dynamic::evaluate;
//! use dht_search::{Error, Preset, SearchModel, SearchObjective, SearchSettings};
//! use rand::SeedableRng;
//!
//! let examples = vec![
//!     Example::new("A fine day", 1), Example::new("Fine food", 1),
//!     Example::new("The food was fine", 1), Example::new("A bad day", 0),
//!     Example::new("Bad food", 0), Example::new("The food was bad", 0),
//! ];
//! let data = Dataset::from_examples("reviews", vec!["bad".into(), "good".into()], examples)?;
//! let texts = data.examples.iter().map(|example| &*example.text);
//! let tokenizer = TextTokenizer::train(texts, 100)?;
//! let encoded = tokenizer.encode_all(&data, 16)?;
//!
//! let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
//! let config = BertConfig::small(4, 6, 24, tokenizer.vocabulary_size())?;
//! let encoder = Encoder::random(&config, &Device::Cpu, &mut rng)?;
//! let space = Preset::TDht.space(4, 6)?; // exits at 1, 2, 3 and 4 layers; 4, 5 or 6 heads
//! let settings = SearchSettings { warm_up_contexts: 30, ..SearchSettings::default() };
//! let model = SearchModel::new(encoder, space, settings, data.labels.len(), &mut rng)?;
//! let mut search = SearchObjective::new(model)?;
//!
//! let optimizer = AdamWSettings { learning_rate: 1e-2, ..AdamWSettings::default() };
//! let defaults = TrainSettings::default();
//! let training = TrainSettings { epochs: 30, batch_size: 3, optimizer, ..defaults };
//! // A program that reports a score has a validation set for the third argument,
//! // and a test set for the evaluation.
//! Trainer::new(training).fit(&mut search, &encoded, &encoded, &mut ())?;
//!
//! let mut model = search.into_model();
//! model.set_speed(0.05)?; // for bandits λ, the price of the full model's cost in nats of loss
//! let evaluation = evaluate(&model, &encoded, 6)?;
//! assert_eq!(evaluation.confusion.macro_f1(), 1.0);
//! // Both costs: the paper's estimate and the FLOPs of all products. The first alone is
//! // too optimistic.
//! let flops_ratio = evaluation.flops as f64 / model.full_inference_flops(&encoded) as f64;
//! let ratio = evaluation.layer_head_ratio;
//! println!("{ratio:.2} by layers and heads, {flops_ratio:.2} by FLOPs");
//! # Ok::<(), Error>(())
//! ```
//!
//! # Catalogue
//!
//! | to | take |
//! |---|---|
//! | list the routes of a search | [`SearchSpace`], [`SpaceConfig`] and the module [`space`]; [`Preset`] for the search spaces of the DHT paper (Meng et al. 2023), [`SpaceConfig::from_toml_file`] for a space in a file |
//! | name a route | [`Route`]; [`RouteSpec`](dynamic::route::RouteSpec) for its notation, `12L8H` |
//! | select a router | [`SearchSettings::router`], and a tree or an integrated [`Search`](space::Search) in the space; [`settings`] for its details |
//! | write a custom router | [`Router`](dynamic::Router), [`Learner`], [`SearchModel::with_router`], [`OwnParts`] to load it |
//! | pool hidden states into the context of a router | [`features::PoolingPyramid`] |
//! | configure the training of exits | [`settings::ExitLosses`], [`settings::FullModelSteps`], [`settings::SoftLabels`] with [`SearchObjective::with_teacher`] |
//! | train | [`SearchObjective`], [`SearchObjective::with_next_phase`] for P-DHT |
//! | predict and score | [`SearchModel::predict_batch`], [`evaluate`](dynamic::evaluate()), [`Predictor`](dynamic::Predictor) for a custom baseline |
//! | run the DHT paper's own search | [`SearchSettings::paper`], [`SearchSettings::deviations`] for the differences from the paper, [`evaluation::evaluate_queued`] |
//! | make a fine-tuned classifier cheaper without changing its weights | [`accelerate()`](dynamic::accelerate::accelerate()) of `dht-dynamic`; [`routing::ExitBandits`] for its models |
//! | run an n-gram model before classifiers, or with one | [`baselines::Cascade`], [`baselines::Stacked`] |
//! | train a baseline: truncations, DistilBERT, FastBERT, PABEE | [`baselines`] |
//! | read every exit's answers in one pass | [`ExitModel::exit_log_probabilities`](dynamic::ExitModel::exit_log_probabilities) |
//! | compare with controls | [`evaluation::evaluate_on`] fixed, random or oracle routes, [`evaluation::evaluate_shuffled`]; [`Regret`] |
//! | trade quality for speed at run time | [`SearchModel::with_speed`], [`calibrate`](dynamic::evaluation::calibrate()) for a budget of FLOPs |
//! | answer from many threads | an [`Engine`](dynamic::Engine) of the model |
//! | save a model | [`SearchModel::save`] and [`load`](SearchModel::load) |
//! | compute rewards from losses | [`reward`] |
//! | count or measure the cost of a route | [`CostModel`] and [`cost`] |
//! | read the cost and the decisions of a training run | [`CostAccounting`], [`training`] |
//! | use the components alone | [`bandits`], [`dynamic`], [`transformer`] |
//!
//! # I have, I want
//!
//! | I have | I want | take |
//! |---|---|---|
//! | labelled texts and an encoder | layers and heads chosen for each text | [`SearchModel`], [`SearchObjective`] |
//! | a fine-tuned classifier | bandits that decide at which exit texts stop | [`routing::ExitBandits`] |
//! | the DHT paper | its settings, and a list of the differences between a search and the paper | [`SearchSettings::paper`], [`SearchSettings::deviations`] |
//! | a bandit of my own | a router | [`Learner`], [`SearchModel::with_router`] |
//! | a price of my own | a cost that the bandits weigh | [`cost::RouteCost`], [`CostModel::Own`] |
//! | a trained search model | answers in a service | [`dynamic::Engine`] |
//!
//! # Adding it
//!
//! ```toml
//! [dependencies]
//! dht-search = "0.1"
//! candle-core = "0.11.1"
//! rand = { version = "0.10", default-features = false }
//! rand_chacha = { version = "0.10", default-features = false }
//! serde_json = "1" # only for a custom router with a state
//!
//! [profile.dev.package."*"] # matrix products that are not optimised are hundreds of times slower
//! opt-level = 3
//! ```
//!
//! Use the versions of candle, rand and rand_chacha that are listed above, since their types are arguments of this
//! crate's functions. Matrix products use as many threads as rayon has (`RAYON_NUM_THREADS`); the number of threads
//! changes no result. Training on a CPU is faster with an allocator that reuses memory, such as mimalloc.
//!
//! # Guarantees
//!
//! - **Every sample is trained on once in each epoch**, also with queues: samples that are still queued at the end of
//!   an epoch are trained on then. Texts held out for the bandits ([`settings::LossSource::HeldOut`]) are never trained
//!   on.
//! - **The cost accounting equals the count of all matrix products** that run. [`CostAccounting::flops`] and
//!   [`Evaluation::flops`](dynamic::Evaluation::flops) include second passes, the passes for arm features, and the
//!   passes of a teacher and of held-out texts. The FLOPs of the routers are counted separately, by formula. [`cost`]
//!   lists what is counted and what is not.
//! - **One seed, one result.** A training run that is stopped within an epoch and resumed ends with the same bits as an
//!   uninterrupted run.
//! - **A text's route may depend on its batch**: by default, samples that keep the same number of heads share one head
//!   set, selected for the mean of their contexts. Exits and head counts depend on the text itself and on the heads in
//!   earlier layers.
//!
//! # Single-label classification only
//!
//! Bandits and exits need a distribution over classes: the reward of an exit is computed from its cross-entropy, and
//! the confidence of the distribution is an input of the bandits. In multi-label data an exit may be confident about
//! some labels and not about others, and a regression value has no probability. Both tasks would require another
//! method. Multi-label and regression texts are rejected ([`Argument`](dht_dynamic::Error::Argument), `targets`). Full,
//! truncated and pruned encoders handle them ([`transformer::Task`], [`transformer::pruning`]).
//!
//! # When not to use it
//!
//! If training has fewer texts over all epochs than [`SearchSettings::warm_up_contexts`], the bandits never learn, and
//! inference runs the full model. If every text needs the same depth, a fixed exit costs less than selecting one for
//! each text. [`Regret`] measures the gain of selecting. The DHT paper's settings ([`SearchSettings::paper`]) are for
//! comparison, not for production.

#![doc(html_root_url = "https://docs.rs/dht-search/latest")]

pub mod baselines;
pub mod cost;
mod error;
pub mod evaluation;
pub mod features;
mod model;
pub mod reward;
pub mod routing;
pub mod settings;
pub mod space;
pub mod training;

pub use cost::cost_model::CostModel;
pub use dht_dynamic::Route;
pub use error::{Error, Result};
pub use evaluation::regret::Regret;
pub use model::{own_parts::OwnParts, search_model::SearchModel};
pub use routing::learner::Learner;
pub use settings::settings::SearchSettings;
pub use space::{config::SpaceConfig, presets::Preset, space::SearchSpace};
pub use training::{accounting::CostAccounting, objective::SearchObjective};

pub use dht_bandits as bandits;
pub use dht_dynamic as dynamic;
pub use dht_transformer as transformer;

#[doc = include_str!("../README.md")]
#[cfg(doctest)]
struct ReadmeSnippets;
