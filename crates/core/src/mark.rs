//! The mark on a container instance that Ebb drains: which function does, and since when. What was
//! left unfinished is known by it, and what others drained is not touched.
//!
//! Writing it is left to the functions, and what becomes of a marked instance to
//! `reaper::follow_up` and `spot::reactivation`.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;

use crate::vocabulary::vocabulary;

/// The attribute that holds the mark.
pub const DRAINED_BY: &str = "ebb.drained-by";

/// What [`DRAINED_BY`] says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// The function.
    pub function: String,
    /// When it began to drain the instance; with a cause, when EC2 gave notice.
    pub at: Timestamp,
    /// The notice that it was drained on. Only the `spot-drainer` writes one, and none of a sweep's
    /// marks has one.
    pub cause: Option<Cause>,
}

vocabulary! {
    /// A notice that an instance may outlive.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
    pub enum Cause {
        /// An elevated risk of interruption, which may never come.
        Rebalance = "rebalance",
        /// An interruption that stops the instance; it may start again.
        Stop = "stop",
        /// An interruption that lets the instance hibernate; it may resume.
        Hibernate = "hibernate",
    }
}

impl Cause {
    /// AWS's name of the notice, for people.
    pub fn notice(self) -> &'static str {
        match self {
            Self::Rebalance => "a rebalance recommendation",
            Self::Stop => "an interruption notice (stop)",
            Self::Hibernate => "an interruption notice (hibernate)",
        }
    }
}

impl Mark {
    /// Reads a mark; `None` if the text is none.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('/');
        let (function, at) = (parts.next()?.to_owned(), parts.next()?.parse().ok()?);
        let cause = match parts.next() {
            None => None,
            Some(word) => Some(Cause::from_word(word)?),
        };
        // More parts than Ebb writes make it another's text.
        parts.next().is_none().then_some(Self { function, at, cause })
    }

    /// The mark among the attributes of a container instance.
    pub fn among(attributes: &BTreeMap<String, String>) -> Option<Self> {
        Self::parse(attributes.get(DRAINED_BY)?)
    }
}

/// The value of the attribute: `FUNCTION/TIME`, or `FUNCTION/TIME/CAUSE`, within the characters that
/// ECS allows (ECS API, `Attribute.value`).
impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Whole seconds keep the value short; a time that was in range stays so without its
        // fraction.
        let seconds = Timestamp::from_second(self.at.as_second()).unwrap_or(self.at);
        write!(f, "{}/{seconds}", self.function)?;
        self.cause.map_or(Ok(()), |cause| write!(f, "/{}", cause.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_as_it_was_written_and_other_texts_are_none() {
        let at: Timestamp = "2025-03-04T05:06:07.891Z".parse().unwrap();
        let of_a_sweep = Mark { function: "scale-in-reaper".to_owned(), at, cause: None };
        assert_eq!(of_a_sweep.to_string(), "scale-in-reaper/2025-03-04T05:06:07Z");
        let function = "spot-drainer".to_owned();
        let of_a_notice = Mark { function, at, cause: Some(Cause::Hibernate) };
        assert_eq!(of_a_notice.to_string(), "spot-drainer/2025-03-04T05:06:07Z/hibernate");
        for mark in [of_a_sweep, of_a_notice] {
            let read = Mark::parse(&mark.to_string()).unwrap();
            assert_eq!((&read.function, read.cause), (&mark.function, mark.cause));
            assert_eq!(read.at.as_second(), mark.at.as_second());
        }
        for text in [
            "",
            "scale-in-reaper",
            "scale-in-reaper/soon",
            "2025-03-04T05:06:07Z",
            "spot-drainer/2025-03-04T05:06:07Z/",
            "spot-drainer/2025-03-04T05:06:07Z/terminate",
            "spot-drainer/2025-03-04T05:06:07Z/stop/",
        ] {
            assert_eq!(Mark::parse(text), None, "{text}");
        }
    }
}
