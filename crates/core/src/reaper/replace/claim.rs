//! The claim on a container instance that is being replaced: how far that has come. Whatever dies,
//! the next sweep goes on by it. Writing it is left to the `scale-in-reaper`.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;

/// The attribute of a container instance that holds its [`Claim`].
pub const REPLACING_ATTRIBUTE: &str = "ebb.replacing";

/// How far the replacement of a container instance has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// Its group is about to be raised for it.
    Raising {
        /// Since when.
        since: Timestamp,
        /// The desired capacity before that.
        from: i64,
    },
    /// Its group was raised for it. The replacement boots, or is there.
    Raised {
        /// Since when.
        since: Timestamp,
    },
    /// No replacement has joined: its group is about to be as large as before.
    Returning {
        /// Since when it was to be replaced.
        since: Timestamp,
    },
    /// It was not replaced, and its group is not raised for it any more.
    Failed {
        /// Since when.
        since: Timestamp,
    },
}

impl Claim {
    /// Reads the attribute's value; `None` for a value that Ebb never writes.
    pub fn parse(value: &str) -> Option<Self> {
        let mut words = value.split(' ');
        let (word, since) = (words.next()?, words.next()?.parse().ok()?);
        let claim = match word {
            "raising" => Self::Raising { since, from: words.next()?.parse().ok()? },
            "raised" => Self::Raised { since },
            "returning" => Self::Returning { since },
            "failed" => Self::Failed { since },
            _ => return None,
        };
        words.next().is_none().then_some(claim)
    }

    /// The claim among the attributes of a container instance.
    pub fn among(attributes: &BTreeMap<String, String>) -> Option<Self> {
        Self::parse(attributes.get(REPLACING_ATTRIBUTE)?)
    }

    /// Whether its group is larger for it, or may be.
    pub fn is_open(self) -> bool {
        !matches!(self, Self::Failed { .. })
    }

    /// Since when the instance is being replaced, or is not.
    pub fn since(self) -> Timestamp {
        match self {
            Self::Raising { since, .. }
            | Self::Raised { since }
            | Self::Returning { since }
            | Self::Failed { since } => since,
        }
    }
}

/// The attribute's value, in whole seconds and within the characters that ECS allows (ECS API,
/// `Attribute.value`).
impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self {
            Self::Raising { .. } => "raising",
            Self::Raised { .. } => "raised",
            Self::Returning { .. } => "returning",
            Self::Failed { .. } => "failed",
        };
        let since = self.since();
        let since = Timestamp::from_second(since.as_second()).unwrap_or(since);
        write!(f, "{word} {since}")?;
        match self {
            Self::Raising { from, .. } => write!(f, " {from}"),
            Self::Raised { .. } | Self::Returning { .. } | Self::Failed { .. } => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_is_read_as_it_was_written_and_other_texts_are_none() {
        let since = "2025-03-04T05:06:07Z".parse().unwrap();
        for claim in [
            Claim::Raising { since, from: 7 },
            Claim::Raised { since },
            Claim::Returning { since },
            Claim::Failed { since },
        ] {
            assert_eq!(Claim::parse(&claim.to_string()), Some(claim));
        }
        for text in [
            "",
            "raised",
            "raised soon",
            "raised 2025-03-04T05:06:07Z 7",
            "raising 2025-03-04T05:06:07Z",
            "raising 2025-03-04T05:06:07Z 7 8",
            "replaced 2025-03-04T05:06:07Z",
        ] {
            assert_eq!(Claim::parse(text), None, "{text}");
        }
    }
}
