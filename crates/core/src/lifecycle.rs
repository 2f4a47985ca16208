//! What the `lifecycle-drainer` decides: the next step of a drain, what one hop leaves for the
//! next, and what holds a drain that does not end.
//!
//! Observing, acting and waiting are left to the function.

pub mod action;
mod answer;
pub mod cut_off;
mod deadline;
mod decide;
pub mod diagnosis;
pub mod handoff;
mod look;
pub mod notification;
pub mod reactivation;
mod search;
pub mod settings;
mod unattended;

pub use self::answer::{Answer, Outcome, OutcomeKind};
pub use self::deadline::{drain_began, drain_deadline};
pub use self::decide::{
    ActionState, Decision, DrainProgress, Evidence, READ_LAG_MAX, TasksLeft, decide,
};
pub use self::look::{LookTarget, NextLook, PastLooks, count_stopping_looks, jittered, next_look};
pub use self::search::{ClusterSearch, search_time};
pub use self::unattended::{UNATTENDED_MAX, unattended_share};
