//! What the `scale-in-reaper` decides beside its plans, and what it reports.

mod answer;
pub mod earlier;
pub mod seen;
pub mod sweep;
mod text;

pub use self::answer::{Answer, Done, OutcomeKind, Swept};
pub use self::text::text;
