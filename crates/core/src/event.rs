//! What an invocation brings, read into values that need no further checks.
//!
//! [`parse`] opens what events come wrapped in and hands each event to a reader:
//! [`crate::spot::notice::read`] for EC2's notices, [`crate::lifecycle::action::read`] for Auto
//! Scaling's lifecycle actions. What asks for a sweep comes bare, and
//! [`crate::reaper::request::read`] reads it as it is. An event that is not the reader's is
//! [`Event::Ignored`] with a reason; one that claims to be and cannot be read is a [`ParseError`]
//! that names the field, as is what no reader knows, unless it came over a topic. What to do about
//! an event is left to the modules of the functions.

mod batch_failures;
mod envelope;
mod origin;
mod parse_error;
mod reading;

pub use self::batch_failures::batch_item_failures;
pub use self::envelope::{EVENTS_MAX, Message, Reader, Record, WRAPPINGS_MAX, parse};
pub(crate) use self::envelope::{is_notification, request_payload};
pub use self::origin::Origin;
pub use self::parse_error::ParseError;
pub(crate) use self::parse_error::describe;
pub use self::reading::Event;
