//! The mark on a container instance that Ebb drains: which function does, and since when. What was
//! left unfinished is known by it, and what others drained is not touched.
//!
//! Writing it is left to the functions, and what becomes of a marked instance to
//! `reaper::follow_up` and `spot::reactivation`.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;

/// The attribute that holds the mark.
pub const DRAINED_BY: &str = "ebb.drained-by";

/// What [`DRAINED_BY`] says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// The function.
    pub function: String,
    /// When it began to drain the instance.
    pub at: Timestamp,
}

impl Mark {
    /// Reads a mark; `None` if the text is none.
    pub fn parse(text: &str) -> Option<Self> {
        let (function, at) = text.split_once('/')?;
        Some(Self { function: function.to_owned(), at: at.parse().ok()? })
    }

    /// The mark among the attributes of a container instance.
    pub fn among(attributes: &BTreeMap<String, String>) -> Option<Self> {
        Self::parse(attributes.get(DRAINED_BY)?)
    }
}

/// The value of the attribute: `FUNCTION/TIME`, within the characters that ECS allows (ECS API,
/// `Attribute.value`).
impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Whole seconds keep the value short; a time that was in range stays so without its
        // fraction.
        let seconds = Timestamp::from_second(self.at.as_second()).unwrap_or(self.at);
        write!(f, "{}/{seconds}", self.function)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FUNCTION: &str = "scale-in-reaper";

    #[test]
    fn a_mark_is_read_as_it_was_written_and_other_texts_are_none() {
        let mark =
            Mark { function: FUNCTION.to_owned(), at: "2025-03-04T05:06:07.891Z".parse().unwrap() };
        assert_eq!(mark.to_string(), "scale-in-reaper/2025-03-04T05:06:07Z");
        let read = Mark::parse(&mark.to_string()).unwrap();
        assert_eq!(read.function, FUNCTION);
        assert_eq!(read.at.as_second(), mark.at.as_second());
        for text in ["", "scale-in-reaper", "scale-in-reaper/soon", "2025-03-04T05:06:07Z"] {
            assert_eq!(Mark::parse(text), None, "{text}");
        }
    }
}
