//! Worlds that move: three ways to follow them, besides [forgetting](crate::posterior::DiscountedRidge).
//!
//! * [`SlidingWindow`]: learns from the last n observations of all arms alone.
//! * [`ResetOnChange`]: learns as if nothing changed, until a [`ChangeDetector`] says that predictions have grown worse,
//!   and then forgets everything. [`PageHinkley`] is quick and small, [`Adwin`] needs no threshold in units of the reward.
//!
//! Forgetting where the world moves all the time; a window where one knows for how long the past is worth something; a
//! test where the world stands still for long and then changes at once.

mod adwin;
mod any;
mod page_hinkley;
mod reset_on_change;
mod sliding_window;

use crate::error::Result;
use serde::{Deserialize, Serialize};

pub use adwin::Adwin;
pub(crate) use any::AnyDetector;
pub use any::ChangeTest;
pub use page_hinkley::PageHinkley;
pub use reset_on_change::ResetOnChange;
pub use sliding_window::SlidingWindow;

/// How the mean of a stream has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// Not that one could tell.
    None,
    /// It has grown.
    Increase,
    /// It has fallen.
    Decrease,
}

/// A test of whether the mean of a stream changes.
pub trait ChangeDetector: Send + Sync + 'static {
    /// Learns a value, and says whether the mean has changed. After a change the test goes on with what came after it.
    ///
    /// # Errors
    /// A value that is not finite or beyond the detector's range. The detector is unchanged then.
    fn push(&mut self, value: f64) -> Result<Change>;

    /// Forgets all values.
    fn reset(&mut self);
}
