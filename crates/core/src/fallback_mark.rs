//! The tag of a fallback group that is raised: what it was before, and since when it is needed no
//! more. The world remembers it, so that no function must.
//!
//! The `spot-drainer` writes it before it raises the group for the first time; the `scale-in-reaper`
//! keeps count in it and removes it. What it is good for is decided in [`crate::reaper::fallback`].

use std::fmt;

use jiff::Timestamp;

/// The key of the tag.
pub const FALLBACK_TAG: &str = "ebb:fallback";

/// What the tag says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FallbackMark {
    /// The desired capacity that the group had before it was raised.
    pub baseline: i64,
    /// The sweeps in a row that have found its Spot group whole, if the last one has.
    pub whole: Option<WholeSweeps>,
}

/// Sweeps in a row that found a Spot group whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WholeSweeps {
    /// How many, at least 1.
    pub number: u32,
    /// When the last of them looked.
    pub last: Timestamp,
}

impl FallbackMark {
    /// Reads the tag's value. A value that Ebb never writes counts as `None`.
    pub fn parse(value: &str) -> Option<Self> {
        let words: Vec<_> = value.split(' ').collect();
        let (baseline, whole) = match words[..] {
            [baseline] => (baseline, None),
            [baseline, "whole", number, last] => {
                let (number, last) = (number.parse().ok()?, last.parse().ok()?);
                (baseline, Some(WholeSweeps { number, last }))
            }
            _ => return None,
        };
        let baseline = baseline.parse().ok().filter(|baseline| *baseline >= 0)?;
        Some(Self { baseline, whole })
    }
}

/// The tag's value, of at most 256 characters (Auto Scaling API, `Tag`).
impl fmt::Display for FallbackMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.baseline)?;
        match self.whole {
            Some(WholeSweeps { number, last }) => write!(f, " whole {number} {last}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_as_it_was_written() {
        let last = "2025-03-04T05:06:07Z".parse().unwrap();
        for whole in [None, Some(WholeSweeps { number: 2, last })] {
            let mark = FallbackMark { baseline: 3, whole };
            assert_eq!(FallbackMark::parse(&mark.to_string()), Some(mark));
        }
        for foreign in ["", "-1", "three", "3 ", "3 whole", "3 whole 1", "3 whole x now", "3 4 5 6"]
        {
            assert_eq!(FallbackMark::parse(foreign), None, "{foreign:?}");
        }
    }
}
