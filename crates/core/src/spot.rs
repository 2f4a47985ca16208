//! What the `spot-drainer` decides: which notices count, what is done about each instance, by how
//! much the fallback group is raised, and what is answered.
//!
//! Finding container instances, draining them and raising the group are left to the function.

pub mod answer;
mod decide;
pub mod fallback;
pub mod notice;
pub mod settings;

pub use self::answer::{Answer, Outcome, OutcomeKind};
pub use self::decide::{Decision, NOTICE_PERIOD, decide, ignore_reason, retry_until};
