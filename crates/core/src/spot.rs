//! What the `spot-drainer` decides: which notices count, what is done about each instance, what
//! becomes of it when it is back, by how much the fallback group is raised, and what is answered.
//!
//! Finding container instances, draining them and raising the group are left to the function.

pub mod answer;
mod decide;
mod early;
pub mod fallback;
mod marking;
pub mod notice;
pub mod notification;
mod reactivation;
mod search_order;
pub mod settings;

pub use self::answer::{Answer, Outcome, OutcomeKind};
pub use self::decide::{Decision, NOTICE_AGE_MAX, decide, ignore_reason, retry_until};
pub use self::early::decide_early;
pub use self::marking::{Marking, marking, weightier};
pub use self::notice::NOTICE_PERIOD;
pub use self::reactivation::{AGENT_CONNECTS_WITHIN, decide_return};
pub use self::search_order::{largest_first, order_matters};
