//! What belongs to a Lambda function: its start, and of one invocation its clock, what stands in its
//! way, its log, its metrics, and its notices to people.

pub mod metrics;

mod clock;
mod logging;
mod notification;
mod problem;
mod start;

pub use self::clock::{Clock, deadline};
pub use self::logging::{init_logging, init_warnings, log_answer};
pub use self::notification::{Claimed, claim, claim_for_cluster, note_told, notify};
pub(crate) use self::problem::error_chain;
pub use self::problem::{ErrorType, HandlerError, Problem};
pub use self::start::start;
