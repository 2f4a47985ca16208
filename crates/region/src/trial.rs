//! Trials: situations in which instances go away, to play any drainer through, ours or somebody
//! else's, and what came of it.
//!
//! - which there are is in `situations.rs`;
//! - how a drainer is deployed is in `deployment.rs`;
//! - what a trial came to is in `outcome.rs`.
//!
//! Who runs the drainer's function is left to [`crate::lambda::Lambda`].

mod deployment;
mod outcome;
mod play;
mod signal;
mod situations;

pub use self::deployment::{Deployment, FUNCTION, Source};
pub use self::outcome::{HEAD, Outcome};
pub use self::signal::Signal;
pub use self::situations::{CLUSTER, TRIALS, Trial};
