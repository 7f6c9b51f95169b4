//! Policies for non-stationary environments, with sliding windows and change tests. Another method is
//! [forgetting](crate::posterior::DiscountedRidge): evidence decays with its age.
//!
//! * [`SlidingWindow`]: policy that learns only from the last n observations of all arms.
//! * [`ResetOnChange`]: policy that is reset to its prior when a [`ChangeTest`] detects that its predictions have
//!   become worse.
//!
//! Use forgetting if the environment drifts all the time, a window if the useful age of observations is known, and a
//! change test if abrupt changes follow long stationary periods.

mod adwin;
mod change_test;
mod page_hinkley;
mod reset_on_change;
mod sliding_window;

pub(super) use change_test::ChangeDetector;
pub use change_test::ChangeTest;
pub use reset_on_change::ResetOnChange;
pub use sliding_window::SlidingWindow;
