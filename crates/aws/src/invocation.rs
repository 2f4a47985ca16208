//! What belongs to one Lambda invocation: its clock, what stands in its way, and its metrics.

pub mod metrics;

mod clock;
mod problem;

pub use self::clock::{Clock, deadline};
pub use self::problem::{ErrorType, HandlerError, Problem};
