//! Policies for non-stationary environments: windows and change tests, in addition to
//! [forgetting](crate::posterior::DiscountedRidge).
//!
//! * [`SlidingWindow`]: learns only from the last n observations of all arms.
//! * [`ResetOnChange`]: learns as in a stationary environment until a [`ChangeDetector`] detects that predictions have
//!   become worse, and then forgets everything. [`PageHinkley`] is quick and small; [`Adwin`] needs no threshold in
//!   units of the reward.
//!
//! Use forgetting for constant drift, a window if the useful age of observations is known, and a test for long
//! stationary periods with abrupt changes.

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

/// Detected change of the mean of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// No detectable change.
    None,
    /// Larger mean.
    Increase,
    /// Smaller mean.
    Decrease,
}

/// Test for changes of the mean of a stream.
pub trait ChangeDetector: Send + Sync + 'static {
    /// Adds a value, and returns the detected change of the mean. After a change the test continues with later values.
    ///
    /// # Errors
    /// A value that is not finite or beyond the detector's range. The detector is unchanged then.
    fn push(&mut self, value: f64) -> Result<Change>;

    /// Forgets all values.
    fn reset(&mut self);
}
