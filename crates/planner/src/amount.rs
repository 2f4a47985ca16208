//! How many instances of a cluster may go, as an operator says it: a share, or a number.

use std::fmt;

use crate::words::{count, percent};

/// How many of a cluster's usable instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Amount {
    /// A share of them, in percent.
    Percent(u32),
    /// So many, however many there are.
    Instances(usize),
}

impl Amount {
    /// How many that is of so many usable instances. A share is rounded up, or a cluster of few
    /// instances could never lose one.
    pub fn of(self, usable: usize) -> usize {
        match self {
            Self::Percent(percent) => {
                let percent = usize::try_from(percent).unwrap_or(100).min(100);
                (usable * percent).div_ceil(100)
            }
            Self::Instances(instances) => instances,
        }
    }

    /// Whether it is at most `other`, however many usable instances there are.
    pub fn is_at_most(self, other: Self) -> bool {
        match (self, other) {
            (Self::Percent(0) | Self::Instances(0), _) => true,
            (Self::Percent(percent), Self::Percent(other)) => percent <= other,
            (Self::Instances(instances), Self::Instances(other)) => instances <= other,
            (Self::Percent(_), Self::Instances(_)) | (Self::Instances(_), Self::Percent(_)) => {
                false
            }
        }
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Percent(share) => f.write_str(&percent(*share)),
            Self::Instances(instances) => f.write_str(&count(*instances, "instance")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_rounded_up_and_a_number_stays_what_it_is() {
        let of_eleven = [0, 1, 10, 50, 100, 200].map(|percent| Amount::Percent(percent).of(11));
        assert_eq!(of_eleven, [0, 1, 2, 6, 11, 11]);
        assert_eq!(Amount::Instances(20).of(11), 20);
    }

    #[test]
    fn what_is_at_most_another_is_so_in_every_cluster() {
        let amounts = [0, 1, 9, 10, 11].map(Amount::Percent);
        let amounts = amounts.into_iter().chain([0, 1, 2].map(Amount::Instances));
        let amounts: Vec<_> = amounts.collect();
        for a in &amounts {
            for b in &amounts {
                let always = (0..=1_000).all(|usable| a.of(usable) <= b.of(usable));
                assert_eq!(a.is_at_most(*b), always, "{a} and {b}");
            }
        }
    }
}
