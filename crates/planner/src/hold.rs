//! Until when an operator holds a cluster, a group or an instance: whatever takes instances away
//! asks here first, and takes none there meanwhile.
//!
//! Reading the tags and the attributes is left to the caller, and so is what becomes of drains that
//! were begun before.

use std::fmt;

use jiff::Timestamp;

use crate::ids::{GroupName, InstanceId};
use crate::inventory::{Instance, Inventory};

/// The tag of clusters and of Auto Scaling groups that are held until the time that is its value.
pub const HOLD_TAG: &str = "ebb:hold-until";
/// The same as an attribute of container instances, whose names have no colon (ECS API, `Attribute`).
pub const HOLD_ATTRIBUTE: &str = "ebb.hold-until";
/// The value of either that holds until it is taken off.
pub const FOREVER: &str = "forever";

/// Somebody holds something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// What is held.
    pub scope: HoldScope,
    /// Until when.
    pub until: HoldEnd,
}

/// What is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HoldScope {
    /// All of a cluster, by its name.
    Cluster(String),
    /// The instances of a group.
    Group(GroupName),
    /// One instance.
    Instance(InstanceId),
}

/// When a hold ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HoldEnd {
    /// At this time.
    At(Timestamp),
    /// When it is taken off.
    Never,
    /// Nobody can tell, as this is no time: when that is put right, or taken off.
    Unclear(String),
}

impl HoldEnd {
    /// Reads an RFC 3339 time, or [`FOREVER`].
    fn read(text: &str) -> Self {
        match text.trim() {
            FOREVER => Self::Never,
            time => time.parse().map_or_else(|_| Self::Unclear(text.to_owned()), Self::At),
        }
    }
}

impl Hold {
    /// What the value of a tag or an attribute comes to; `None` if its time has come. What is no time
    /// holds: who wrote it wants nothing to go.
    pub fn read(scope: HoldScope, text: &str, now: Timestamp) -> Option<Self> {
        let until = HoldEnd::read(text);
        let is_over = matches!(until, HoldEnd::At(end) if end <= now);
        (!is_over).then_some(Self { scope, until })
    }

    /// Whether its value is no time, which is to be put right.
    pub fn is_unclear(&self) -> bool {
        matches!(self.until, HoldEnd::Unclear(_))
    }
}

impl Inventory {
    /// The hold on all of the cluster.
    pub fn hold(&self, now: Timestamp) -> Option<Hold> {
        let text = self.hold_until.as_deref()?;
        Hold::read(HoldScope::Cluster(self.cluster.name().to_owned()), text, now)
    }

    /// The hold on a group.
    pub fn group_hold(&self, name: &GroupName, now: Timestamp) -> Option<Hold> {
        let text = self.groups.get(name)?.hold_until.as_deref()?;
        Hold::read(HoldScope::Group(name.clone()), text, now)
    }

    /// The hold that keeps an instance: that on its cluster, on its group, or on itself.
    pub fn hold_on(&self, instance: &Instance, now: Timestamp) -> Option<Hold> {
        let of_group = || self.group_hold(instance.group.as_ref()?, now);
        let own = || {
            let text = instance.attributes.get(HOLD_ATTRIBUTE)?;
            Hold::read(HoldScope::Instance(instance.instance_id.clone()), text, now)
        };
        self.hold(now).or_else(of_group).or_else(own)
    }

    /// The holds to tell people of: those on the cluster and on groups, and those on instances whose
    /// end is unclear.
    pub fn holds(&self, now: Timestamp) -> Vec<Hold> {
        let groups = self.groups.keys().filter_map(|name| self.group_hold(name, now));
        let mut holds: Vec<Hold> = self.hold(now).into_iter().chain(groups).collect();
        let mut unclear: Vec<&Instance> = self.instances.iter().collect();
        unclear.sort_by(|a, b| a.instance_id.cmp(&b.instance_id));
        holds.extend(unclear.into_iter().filter_map(|instance| {
            let is_own =
                |hold: &Hold| matches!(hold.scope, HoldScope::Instance(_)) && hold.is_unclear();
            self.hold_on(instance, now).filter(is_own)
        }));
        holds
    }
}

/// Why, until when, and who can change it.
impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mark, permission) = match &self.scope {
            HoldScope::Cluster(name) => {
                write!(f, "cluster {name} is held")?;
                (format!("tag {HOLD_TAG}"), "ecs:TagResource")
            }
            HoldScope::Group(name) => {
                write!(f, "group {name} is held")?;
                (format!("tag {HOLD_TAG}"), "autoscaling:CreateOrUpdateTags")
            }
            HoldScope::Instance(_) => {
                f.write_str("it is held")?;
                (format!("attribute {HOLD_ATTRIBUTE}"), "ecs:PutAttributes")
            }
        };
        match &self.until {
            HoldEnd::At(end) => write!(f, " until {end} by its {mark}")?,
            HoldEnd::Never => write!(f, " until its {mark} ({FOREVER}) is taken off")?,
            HoldEnd::Unclear(text) => write!(
                f,
                " until its {mark} is put right: `{text}` is no time like 2026-01-31T06:00:00Z"
            )?,
        }
        write!(f, "; who has {permission} can change that")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{cluster, instance, now};

    fn end(text: &str) -> Option<HoldEnd> {
        Hold::read(HoldScope::Cluster("shop".to_owned()), text, now()).map(|hold| hold.until)
    }

    #[test]
    fn a_time_to_come_holds_and_one_that_has_come_does_not() {
        let later = HoldEnd::At("2025-03-04T05:00:01Z".parse().unwrap());
        for text in ["2025-03-04T05:00:01Z", " 2025-03-04T06:00:01+01:00 ", "2025-03-04T05:00:01z"]
        {
            assert_eq!(end(text), Some(later.clone()), "{text}");
        }
        for text in ["2025-03-04T05:00:00Z", "1999-12-31T00:00:00Z", "2025-03-04T05:30:00+01:00"] {
            assert_eq!(end(text), None, "{text}");
        }
        assert_eq!(end("forever"), Some(HoldEnd::Never));
    }

    #[test]
    fn what_is_no_time_holds_whatever_it_is() {
        for text in ["", " ", "tomorrow", "2024-03-04", "2024-03-04T05:00", "1700000000", "false"] {
            assert_eq!(end(text), Some(HoldEnd::Unclear(text.to_owned())), "{text:?}");
        }
    }

    #[test]
    fn the_widest_hold_is_given_and_says_until_when_and_who_can_change_it() {
        let mut inventory = cluster(vec![instance(1), instance(2)], Vec::new());
        let mark = (HOLD_ATTRIBUTE.to_owned(), "friday".to_owned());
        inventory.instances[0].attributes.extend([mark]);
        let hold = |inventory: &Inventory, position: usize| {
            let hold = inventory.hold_on(&inventory.instances[position], now());
            hold.map(|hold| hold.to_string())
        };
        assert_eq!(
            hold(&inventory, 0).unwrap(),
            "it is held until its attribute ebb.hold-until is put right: `friday` is no time like \
             2026-01-31T06:00:00Z; who has ecs:PutAttributes can change that"
        );
        assert_eq!((hold(&inventory, 1), inventory.holds(now()).len()), (None, 1));
        for group in inventory.groups.values_mut() {
            group.hold_until = Some("2025-03-05T05:00:00Z".to_owned());
        }
        assert_eq!(
            hold(&inventory, 0).unwrap(),
            "group group is held until 2025-03-05T05:00:00Z by its tag ebb:hold-until; who has \
             autoscaling:CreateOrUpdateTags can change that"
        );
        inventory.hold_until = Some("forever".to_owned());
        assert_eq!(
            hold(&inventory, 1).unwrap(),
            "cluster shop is held until its tag ebb:hold-until (forever) is taken off; who has \
             ecs:TagResource can change that"
        );
        assert_eq!(inventory.holds(now()).len(), 2, "that of the cluster and that of the group");
    }
}
