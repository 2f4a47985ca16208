//! What the `lifecycle-drainer` decides: the next step of a drain, what one hop leaves for the
//! next, and what holds a drain that does not end.
//!
//! Observing, acting and waiting are left to the function.

pub mod action;
mod answer;
mod decide;
pub mod diagnosis;
pub mod handoff;
pub mod settings;

pub use self::answer::{Answer, Outcome, OutcomeKind};
pub use self::decide::{ActionState, Decision, DrainProgress, TasksLeft, decide};
