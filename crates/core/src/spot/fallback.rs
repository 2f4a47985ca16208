//! By how much the on-demand fallback group is raised, so that each interrupted container instance
//! counts once: as much as one instance of the group.
//!
//! A notice may be delivered twice, at the same time even, and the function may die between any two
//! calls. What keeps the count is a [`Claim`]: an attribute on the container instance. The order of
//! the calls is: read the group, read the claims, write [`Claim::Taken`], set the desired capacity,
//! write [`Claim::Counted`].
//! - A later delivery finds the claim `Counted` and leaves the group alone.
//! - Two deliveries at the same moment either see each other's claim, and one waits, or have read
//!   the same capacity, and set the same value: one raise. (A delivery that reads the raised
//!   capacity reads the claims after that, and so finds the one that was written before.)
//! - A function that dies, or gives up, between claiming and counting leaves the claim `Taken`.
//!   Nobody can tell whether the capacity was set, so it is counted again once the claim is older
//!   than [`CLAIM_LEASE`]: one instance too many is the lesser evil. That happens once: after a
//!   second such end, a group that has reached the claimed capacity is held to have been raised.
//! - Two *different* notices handled at the same moment by two invocations may read the same
//!   capacity, and one raise is lost: Auto Scaling has no conditional update. Queue batches make
//!   this rare; a concurrency of one excludes it.
//!
//! That is for groups which do not allow [`launches`], where Auto Scaling itself keeps the count. The
//! calls are left to the `spot-drainer`.

pub mod group;
pub mod launches;
pub mod replaced;

use std::fmt;

use jiff::{SignedDuration, Timestamp};

use self::group::FallbackGroup;
use crate::ids::ContainerInstanceArn;
use crate::words;

/// The attribute of a container instance that holds its [`Claim`].
pub const CLAIM_ATTRIBUTE: &str = "ebb.fallback";

/// For how long a taken claim keeps other deliveries waiting: longer than the two calls that follow
/// it may take (12 s each, with their retries). After that, whoever took it is held to have died.
pub const CLAIM_LEASE: SignedDuration = SignedDuration::from_secs(25);

/// Whether an interrupted container instance has been counted into the fallback group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// An invocation is about to count it.
    Taken {
        /// Since when.
        since: Timestamp,
        /// The desired capacity that is to be set.
        desired_capacity: i32,
        /// Whether it was taken before, without an end.
        retaken: bool,
    },
    /// It has been counted.
    Counted,
}

impl Claim {
    /// Reads the attribute's value. A value that Ebb never writes counts as `None`.
    pub fn parse(value: &str) -> Option<Self> {
        if value == "counted" {
            return Some(Self::Counted);
        }
        let mut words = value.split(' ');
        let retaken = match words.next()? {
            "taken" => false,
            "taken-again" => true,
            _ => return None,
        };
        let (since, desired_capacity) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        // More words than Ebb writes make it another's value.
        words.next().is_none().then_some(Self::Taken { since, desired_capacity, retaken })
    }
}

/// The attribute's value. Its characters are among those that ECS allows (ECS API,
/// `Attribute.value`).
impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Taken { since, desired_capacity, retaken } => {
                let word = if *retaken { "taken-again" } else { "taken" };
                write!(f, "{word} {since} {desired_capacity}")
            }
            Self::Counted => f.write_str("counted"),
        }
    }
}

/// An interrupted container instance, with the claim that stands on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interrupted {
    /// The container instance.
    pub arn: ContainerInstanceArn,
    /// Its claim.
    pub claim: Option<Claim>,
    /// Whether the claim is this invocation's own, from an attempt that failed.
    pub own: bool,
}

/// What to do about the fallback group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raise {
    /// The claims to write before the capacity is set.
    pub to_claim: Vec<(ContainerInstanceArn, Claim)>,
    /// The desired capacity to set, or `None` if the group may not, or need not, grow.
    pub desired_capacity: Option<i32>,
    /// The container instances to mark as [`Claim::Counted`] after that.
    pub counted: Vec<ContainerInstanceArn>,
    /// For how many of those that are claimed the group's maximum leaves no room.
    pub without_room: usize,
    /// Those that another invocation is counting: their notices must be delivered again, in case it
    /// dies.
    pub busy: Vec<ContainerInstanceArn>,
    /// Why, for the log.
    pub reason: String,
}

/// Decides by how much to raise the group, as it was read before the claims: by as much as one
/// instance of it counts for each container instance that has not been counted, and never above the
/// group's maximum.
pub fn raise(group: &FallbackGroup, interrupted: &[Interrupted], now: Timestamp) -> Raise {
    let (mut to_count, mut counted, mut busy) = (Vec::new(), Vec::new(), Vec::new());
    for Interrupted { arn, claim, own } in interrupted {
        match *claim {
            // A later delivery of the same notice: the group has grown for it already.
            Some(Claim::Counted) => {}
            Some(Claim::Taken { since, .. }) if !own && now.duration_since(since) < CLAIM_LEASE => {
                busy.push(arn.clone());
            }
            // Taken twice, and the group is as large as the second claim would have made it: held
            // to have been raised, so that no number of deaths counts an instance more than twice.
            Some(Claim::Taken { retaken: true, desired_capacity, .. })
                if group.desired_capacity >= desired_capacity =>
            {
                counted.push(arn.clone());
            }
            Some(Claim::Taken { .. }) => to_count.push((arn, true)),
            None => to_count.push((arn, false)),
        }
    }
    // All are added in one call, so that a batch needs no conditional update between its own
    // notices.
    let number = i32::try_from(to_count.len()).unwrap_or(i32::MAX);
    let desired_capacity = group
        .desired_capacity
        // Saturation is harmless, as the group's maximum caps the sum.
        .saturating_add(number.saturating_mul(group.instance_capacity()))
        .min(group.max_size);
    let without_room = to_count.len().saturating_sub(group.room());
    let mut to_claim = Vec::new();
    for (arn, retaken) in to_count {
        to_claim.push((arn.clone(), Claim::Taken { since: now, desired_capacity, retaken }));
        counted.push(arn.clone());
    }
    Raise {
        reason: reason(group, &to_claim, interrupted, &busy),
        to_claim,
        // Never lowered, nor set to what was read: such a call could only undo another's raise.
        desired_capacity: (desired_capacity > group.desired_capacity).then_some(desired_capacity),
        counted,
        without_room,
        busy,
    }
}

fn reason(
    group: &FallbackGroup,
    to_claim: &[(ContainerInstanceArn, Claim)],
    interrupted: &[Interrupted],
    busy: &[ContainerInstanceArn],
) -> String {
    let elsewhere = match busy.len() {
        0 => String::new(),
        number => format!(", {number} counted by another invocation"),
    };
    format!(
        "{} of {} to count, each as {}{elsewhere}; desired capacity was {}, maximum {}",
        to_claim.len(),
        words::count(interrupted.len(), "interrupted container instance"),
        group.instance_capacity(),
        group.desired_capacity,
        group.max_size
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    const START: Timestamp = Timestamp::UNIX_EPOCH;

    fn arn(number: usize) -> ContainerInstanceArn {
        ContainerInstanceArn::new(number.to_string())
    }

    fn number_of(arn: &ContainerInstanceArn) -> usize {
        arn.as_str().parse().unwrap()
    }

    fn unclaimed(count: usize) -> Vec<Interrupted> {
        (0..count).map(|number| Interrupted { arn: arn(number), claim: None, own: false }).collect()
    }

    fn group(desired_capacity: i32, max_size: i32) -> FallbackGroup {
        FallbackGroup { desired_capacity, max_size, ..FallbackGroup::default() }
    }

    fn desired_after(
        desired_capacity: i32,
        max_size: i32,
        interrupted: &[Interrupted],
    ) -> Option<i32> {
        raise(&group(desired_capacity, max_size), interrupted, START).desired_capacity
    }

    #[test]
    fn each_interrupted_container_instance_raises_the_group_by_one() {
        assert_eq!(desired_after(2, 10, &unclaimed(1)), Some(3));
        assert_eq!(desired_after(2, 10, &unclaimed(3)), Some(5));
        assert_eq!(desired_after(2, 10, &[]), None);
    }

    #[test]
    fn the_group_is_never_raised_above_its_maximum() {
        assert_eq!(desired_after(2, 3, &unclaimed(3)), Some(3));
        assert_eq!(desired_after(3, 3, &unclaimed(1)), None);
        assert_eq!(
            desired_after(4, 3, &unclaimed(1)),
            None,
            "nor lowered, where it is above it already"
        );
    }

    #[test]
    fn each_counts_as_much_as_one_instance_of_the_group() {
        let vcpus = FallbackGroup { instance_weights: vec![4, 4], ..group(8, 18) };
        let raised = |number| raise(&vcpus, &unclaimed(number), START);
        assert_eq!((raised(1).desired_capacity, raised(1).without_room), (Some(12), 0));
        assert_eq!((raised(2).desired_capacity, raised(2).without_room), (Some(16), 0));
        assert_eq!((raised(4).desired_capacity, raised(4).without_room), (Some(18), 2));
    }

    #[test]
    fn the_reason_says_how_many_count() {
        let size = group(2, 10);
        assert_eq!(
            raise(&size, &unclaimed(1), START).reason,
            "1 of 1 interrupted container instance to count, each as 1; desired capacity was 2, maximum 10"
        );
        let taken = Claim::Taken { since: START, desired_capacity: 3, retaken: false };
        let mut interrupted = unclaimed(2);
        interrupted[0].claim = Some(taken);
        assert_eq!(
            raise(&size, &interrupted, START).reason,
            "1 of 2 interrupted container instances to count, each as 1, 1 counted by another \
             invocation; desired capacity was 2, maximum 10"
        );
    }

    /// Raises a group of 3 for an instance that is claimed to make it 3.
    fn raise_claimed(retaken: bool, own: bool) -> Raise {
        let claim = Some(Claim::Taken { since: START, desired_capacity: 3, retaken });
        let size = group(3, 10);
        raise(&size, &[Interrupted { arn: arn(0), claim, own }], START)
    }

    #[test]
    fn a_fresh_claim_of_another_invocation_is_waited_for_and_an_own_one_is_not() {
        assert_eq!(raise_claimed(false, false).busy, [arn(0)]);
        assert_eq!(
            raise_claimed(false, true).desired_capacity,
            Some(4),
            "nobody knows if it was set"
        );
        assert_eq!(
            raise_claimed(true, true).counted,
            [arn(0)],
            "but it is not raised a third time"
        );
        assert_eq!(raise_claimed(true, true).desired_capacity, None);
    }

    #[test]
    fn a_claim_is_read_as_it_was_written() {
        let since = "2025-03-04T05:06:07.089Z".parse().unwrap();
        for claim in [
            Claim::Counted,
            Claim::Taken { since, desired_capacity: 7, retaken: false },
            Claim::Taken { since, desired_capacity: 7, retaken: true },
        ] {
            assert_eq!(Claim::parse(&claim.to_string()), Some(claim));
        }
        for foreign in
            ["", "taken", "taken long ago", "taken 2025-03-04T05:06:07Z 7 8", "counted twice"]
        {
            assert_eq!(Claim::parse(foreign), None, "{foreign:?}");
        }
    }

    /// What an instance counts into the group that deliveries share.
    const WEIGHT: i32 = 3;

    /// The world as deliveries share it: a group's capacity and the claims on the container
    /// instances.
    struct Shared {
        capacity: i32,
        claims: [Option<Claim>; 4],
    }

    /// One delivery, step by step, in the order that the module's documentation gives.
    struct Delivery {
        numbers: Vec<usize>,
        steps_done: usize,
        capacity_read: i32,
        decided: Option<Raise>,
    }

    impl Delivery {
        const STEPS: usize = 5;

        fn new(numbers: &[usize]) -> Self {
            Self { numbers: numbers.to_vec(), steps_done: 0, capacity_read: 0, decided: None }
        }

        fn step(&mut self, shared: &mut Shared, now: Timestamp) {
            match self.steps_done {
                0 => self.capacity_read = shared.capacity,
                1 => {
                    let interrupted: Vec<_> = self
                        .numbers
                        .iter()
                        .map(|&number| Interrupted {
                            arn: arn(number),
                            claim: shared.claims[number],
                            own: false,
                        })
                        .collect();
                    let size = FallbackGroup {
                        instance_weights: vec![WEIGHT],
                        ..group(self.capacity_read, 100)
                    };
                    self.decided = Some(raise(&size, &interrupted, now));
                }
                2 => {
                    for (arn, claim) in self.decided.iter().flat_map(|raise| &raise.to_claim) {
                        shared.claims[number_of(arn)] = Some(*claim);
                    }
                }
                3 => {
                    shared.capacity = self
                        .decided
                        .as_ref()
                        .and_then(|raise| raise.desired_capacity)
                        .unwrap_or(shared.capacity);
                }
                _ => {
                    for arn in self.decided.iter().flat_map(|raise| &raise.counted) {
                        shared.claims[number_of(arn)] = Some(Claim::Counted);
                    }
                }
            }
            self.steps_done += 1;
        }
    }

    #[test]
    fn two_deliveries_of_one_notice_raise_the_group_once_however_they_interleave() {
        let mut interleavings = 0;
        // One bit per step: which of the two deliveries takes it.
        for order in 0_u32..1 << (2 * Delivery::STEPS) {
            if order.count_ones() as usize != Delivery::STEPS {
                continue;
            }
            let mut shared = Shared { capacity: 2, claims: [None; 4] };
            let mut deliveries = [Delivery::new(&[0]), Delivery::new(&[0])];
            for step in 0..2 * Delivery::STEPS {
                deliveries[usize::from(order & (1 << step) != 0)].step(&mut shared, START);
            }
            assert_eq!(
                (shared.capacity, shared.claims[0]),
                (2 + WEIGHT, Some(Claim::Counted)),
                "order {order:b}"
            );
            interleavings += 1;
        }
        assert_eq!(interleavings, 252);
    }

    proptest! {
        /// Deliveries one after the other, each of which may die after any of its steps and is then
        /// run again: no interrupted container instance is forgotten, and only a death can make one
        /// count twice.
        #[test]
        fn nothing_is_forgotten_and_only_a_death_counts_twice(
            deliveries in prop::collection::vec(
                (prop::collection::btree_set(0..4_usize, 1..4), 0..=Delivery::STEPS),
                1..8,
            ),
        ) {
            let mut shared = Shared { capacity: 2, claims: [None; 4] };
            let mut now = START;
            let mut may_count_twice = 0;
            let mut interrupted = BTreeSet::new();
            for (numbers, steps) in &deliveries {
                interrupted.extend(numbers.iter().copied());
                for steps in [*steps, Delivery::STEPS] {
                    let mut delivery = Delivery::new(&numbers.iter().copied().collect::<Vec<_>>());
                    for _ in 0..steps {
                        delivery.step(&mut shared, now);
                    }
                    if steps == 4 {
                        may_count_twice += delivery.decided.map_or(0, |raise| raise.to_claim.len());
                    }
                    now += CLAIM_LEASE;
                }
            }
            let raised = usize::try_from((shared.capacity - 2) / WEIGHT).unwrap();
            let interrupted = interrupted.len();
            prop_assert!(raised >= interrupted, "forgotten: {raised} of {interrupted}");
            prop_assert!(raised <= interrupted + may_count_twice, "too many: {raised}");
        }

        /// However often deliveries die, an interrupted container instance counts twice at most.
        #[test]
        fn no_number_of_deaths_counts_more_than_twice(
            deliveries in prop::collection::vec(
                (prop::collection::btree_set(0..4_usize, 1..4), 0..Delivery::STEPS),
                1..20,
            ),
        ) {
            let mut shared = Shared { capacity: 2, claims: [None; 4] };
            let mut now = START;
            for (numbers, steps) in deliveries {
                let mut delivery = Delivery::new(&numbers.into_iter().collect::<Vec<_>>());
                for _ in 0..steps {
                    delivery.step(&mut shared, now);
                }
                now += CLAIM_LEASE;
            }
            prop_assert!(shared.capacity <= 2 + 2 * 4 * WEIGHT, "too many: {}", shared.capacity);
        }
    }
}
