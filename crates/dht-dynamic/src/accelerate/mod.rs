//! Acceleration: builds a model with early exits from a fine-tuned classifier without changing its weights.
//!
//! ```text
//!             ┌─ n-gram classifier ──────────┬──────────────┬─────────── … ──┐
//!   text ─────┤        │ sure?               ▼              ▼                ▼
//!             └────────┴─ layer 1 ─▶ exit ─(+)─ sure? ─▶ exit ─(+)─ … ─▶ classifier ─(+)─▶ class
//!                         frozen                    a·ln p(n-gram) + b·ln p(exit)
//! ```
//!
//! 1. The encoder runs once over the texts. The pooled states at each exit are stored. The hidden states of all tokens
//!    are stored, too, for as many texts as fit into 2 GiB.
//! 2. Each exit is a multinomial logistic regression on standardised states. The inverse penalty C, the weight of the
//!    loss relative to the penalty, is selected by the loss on held-out texts or, if the texts are cross-fitted, on
//!    unseen folds. The standardisation is folded into the weights of a linear classifier, and costs nothing at
//!    inference. Exits that are trained together with the encoder stay far from the optimum of such a regression, and
//!    reduce the encoder's accuracy.
//! 3. After the first layers, the classes are not yet linearly separable in the pooled state. If there are held-out
//!    texts, a [side layer](crate::exit::ExitKind::SideLayer), a narrow layer, is therefore added to each exit. Exit and
//!    side layer are trained together in three passes over the states, on labels and on the classifier's probabilities.
//!    Then the held-out texts run through the encoder again.
//! 4. The [n-gram classifier](crate::exit::NgramClassifier) is fitted on the same texts, with an inverse penalty C from
//!    its own cross-validation. It reads each text before the encoder does, and its errors are on other texts than the
//!    encoder's errors. It also reads the mean of the encoder's input embeddings, whose table it shares with the
//!    encoder. With a tokenizer [`with_rest`](dht_transformer::TextTokenizer::with_rest), it reads the tokens beyond the
//!    encoder's limit.
//! 5. At each exit, including the classifier itself, a [stacker](crate::exit::Stacker) adds the log-probabilities of
//!    the n-gram classifier and of the exit with one weight each. The two weights are fitted on held-out texts, or on
//!    out-of-fold predictions.
//! 6. A text stops at the first exit where the uncertainty of the stacked prediction is below a threshold. The
//!    uncertainty is 1 − max p, unless another [rule](AccelerateSettings::rule) defines it. The threshold is the model's
//!    [speed](crate::DynamicModel::set_speed). [Other routers](Accelerated::with_router) are available. The [`Report`]
//!    has the curve of accuracy against FLOPs on the held-out texts. The default speed is the cheapest threshold at
//!    which the mean [regret](crate::evaluation::Risk::Regret) on the held-out texts, plus one standard error, is at
//!    most 0.3 percentage points. At threshold 0, every text runs all layers, and no earlier exit is computed.
//!
//! Logits of the classifier at the last exit stay identical to the bit. Stacking changes only the log-probabilities.
//!
//! # From a Hugging Face directory to answers
//!
//! ```no_run
//! use candle_core::Device;
//! use dht_dynamic::accelerate::{AccelerateSettings, Texts, accelerate};
//! use dht_dynamic::transformer::{DatasetReader, TextClassifier, TextTokenizer};
//! use dht_dynamic::{Engine, exit::NgramSettings, serving::TextModel};
//! use rand::SeedableRng;
//!
//! # fn main() -> dht_dynamic::Result<()> {
//! // A fine-tuned classifier, its tokenizer, and texts of up to 128 tokens. The n-gram exit
//! // also reads up to 4,096 further tokens of each text.
//! let classifier = TextClassifier::load("my-classifier", &Device::Cpu)?;
//! let tokenizer = TextTokenizer::from_dir("my-classifier")?.with_rest(4096);
//! let labels = classifier.class_names()?;
//! let reader = DatasetReader::new().with_labels(&labels);
//! let encode = |file: &str| tokenizer.encode_all(&reader.read(file)?, 128);
//! let (training, held_out) = (encode("train.csv")?, encode("validation.csv")?);
//!
//! // The exits, the n-gram exit without [CLS] and [SEP], and the curve of accuracy against
//! // cost.
//! let left_out = tokenizer.tokens_around()?;
//! let ngram = NgramSettings { left_out, ..NgramSettings::default() };
//! let settings = AccelerateSettings { ngram: Some(ngram), ..AccelerateSettings::default() };
//! let texts = Texts::new(&training).with_held_out(&held_out);
//! let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
//! let accelerated = accelerate(&classifier, texts, &settings, &mut rng)?;
//!
//! // A budget of a quarter of the full model's FLOPs, and one directory for everything that
//! // serving needs. A new model has no curve, and `speed_within` reads it.
//! let mut model = TextModel::new(accelerated.model, tokenizer, &labels, 128)?;
//! model.curve = accelerated.report.curve;
//! if let Some(point) = model.speed_within(0.25) {
//!     model.model = model.model.with_speed(point.speed)?;
//! }
//! model.save("fast-classifier", "# An accelerated classifier")?;
//!
//! // Answers, also from many threads: see `serving::Service`.
//! let engine = Engine::load("fast-classifier")?;
//! for answer in engine.predict(&["The food was fine.", "Never again!"])? {
//!     println!("{} on {}", answer.label, answer.route);
//! }
//! # Ok(())
//! # }
//! ```

// The steps are in `fit/`, whose `mod.rs` has a table of them. `accelerate.rs` runs them in the order of the table.

#[expect(clippy::module_inception, reason = "the function is in the file of its name")]
mod accelerate;
mod accelerated;

pub use accelerate::{accelerate, accelerate_watched};
pub use accelerated::Accelerated;

pub use crate::fit::{AccelerateSettings, FitStep, Report, ScoredOn, SideSettings, StageReport, Targets, Texts};
