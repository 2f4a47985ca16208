#![doc = include_str!("../README.md")]
// A claim that does not hold is a panic: that is what a fuzzer looks for.
#![expect(clippy::expect_used, reason = "a claim that does not hold must panic")]
#![warn(missing_docs)]

mod events;
mod expressions;
mod inventories;
mod marks;
mod recordings;
mod settings;

pub use self::events::{carried_state, events};
pub use self::expressions::expressions;
pub use self::inventories::inventories;
pub use self::marks::marks;
pub use self::recordings::recordings;
pub use self::settings::settings;

/// A kind of input: its name, as that of its corpus, and what must hold of any bytes of it.
pub type Target = (&'static str, fn(&[u8]));

/// Every kind of input that comes from outside.
pub const TARGETS: [Target; 7] = [
    ("events", events),
    ("carried_state", carried_state),
    ("settings", settings),
    ("expressions", expressions),
    ("marks", marks),
    ("inventories", inventories),
    ("recordings", recordings),
];
