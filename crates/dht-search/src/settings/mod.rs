//! Settings of a search, including every value and choice that the DHT paper (Meng et al. 2023) leaves open.

mod bandits;
mod check;
mod deviations;
mod exits;
mod experiment;
mod presets;
mod ranges;
mod routing;
#[expect(clippy::module_inception, reason = "the type is in the file of its name")]
pub(crate) mod settings;
mod training;

pub use bandits::{HeadSetPrior, Normalization};
pub use exits::{ClassifierSharing, ExitLosses};
pub use experiment::{Experiment, PublishedDataset};
pub use routing::{ContextDesign, HeadArms, HeadDraws, PerBandit, PinnedHeads, RouterKind};
pub(crate) use settings::SearchSettings;
pub use training::{Dispatch, FullModelSteps, LossSource, SoftLabels, Teacher};
