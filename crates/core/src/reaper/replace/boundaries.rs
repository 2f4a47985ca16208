//! What decides about replacing, on either side of where the decision changes: the budget that groups
//! share, the hours that a claim may last, who goes first, what counts as room.

use std::collections::{BTreeMap, BTreeSet};

use ebb_planner::{
    Group, HostPort, Instance, Inventory, KEEP_ATTRIBUTE, Policy, Protocol, TaskKind,
};
use jiff::SignedDuration;

use crate::auto_scaling::LifecycleState;
use crate::ids::GroupName;
use crate::mark::Cause;
use crate::reaper::replace::claim::{Claim, REPLACING_ATTRIBUTE};
use crate::reaper::replace::decide::{Decision, Scene, Step, decide, is_replaced, is_under_way};
use crate::reaper::replace::members::{GroupMember, GroupMembers};
use crate::reaper::replace::outdated::{ScheduledEvent, Why};
use crate::reaper::testing::{
    NOW, budget, drain, id, instance, inventory, resources, seconds_ago, service, task,
};

const FUNCTION: &str = "scale-in-reaper";

/// Groups of one cluster, with what is to be replaced.
struct Scenery {
    inventory: Inventory,
    groups: BTreeMap<GroupName, GroupMembers>,
    outdated: BTreeMap<usize, Why>,
    policy: Policy,
    allowance: usize,
    may_begin: bool,
}

impl Scenery {
    /// Groups at rest, all of whose instances are to be replaced: each in the zone that its letter
    /// names, the oldest first.
    fn of(groups: &[(&str, &str)]) -> Self {
        let mut scenery = Self {
            inventory: inventory(Vec::new()),
            groups: BTreeMap::new(),
            outdated: BTreeMap::new(),
            policy: Policy::default(),
            allowance: 10,
            may_begin: true,
        };
        scenery.inventory.groups.clear();
        scenery.inventory.services = vec![service([1_024, 1_024])];
        for (name, zones) in groups {
            let group = Group { min_size: 0, desired_capacity: 0, ..Group::default() };
            scenery.inventory.groups.insert(GroupName::new(*name), group);
            let members = GroupMembers { max_size: 20, ..GroupMembers::default() };
            scenery.groups.insert(GroupName::new(*name), members);
            for zone in zones.chars() {
                let index = scenery.join(name, &zone.to_string());
                scenery.outdated.insert(index, Why::Begun);
            }
        }
        scenery
    }

    /// An up-to-date instance joins a group, which wants one more by now. Returns its position.
    fn join(&mut self, group: &str, zone: &str) -> usize {
        let name = GroupName::new(group);
        let index = self.inventory.instances.len();
        let number = u64::try_from(index).unwrap() + 1;
        let age = 100_000 - i64::try_from(number).unwrap();
        self.inventory.instances.push(Instance {
            group: Some(name.clone()),
            zone: zone.to_owned(),
            registered_at: Some(seconds_ago(age)),
            ..instance(number)
        });
        self.inventory.groups.get_mut(&name).unwrap().desired_capacity += 1;
        let group = self.groups.get_mut(&name).unwrap();
        group.members.push(GroupMember {
            instance_id: id(number),
            lifecycle_state: LifecycleState::InService,
            weight: 1,
            zone: zone.to_owned(),
            protected_from_scale_in: false,
        });
        index
    }

    fn group(&mut self, name: &str) -> &mut Group {
        self.inventory.groups.get_mut(&GroupName::new(name)).unwrap()
    }

    fn set(&mut self, index: usize, attribute: &str, value: &impl ToString) {
        let attributes = &mut self.inventory.instances[index].attributes;
        attributes.insert(attribute.to_owned(), value.to_string());
    }

    fn claim(&mut self, index: usize, minutes: i64) {
        self.set(index, REPLACING_ATTRIBUTE, &Claim::Raised { since: seconds_ago(60 * minutes) });
    }

    fn drain(&mut self, index: usize, function: &str, cause: Option<Cause>) {
        drain(&mut self.inventory.instances[index], function, cause);
        self.outdated.remove(&index);
    }

    /// An instance of no group that drains.
    fn drain_a_stranger(&mut self, group: &str) {
        let index = self.join(group, "a");
        self.drain(index, "somebody", None);
        self.inventory.instances[index].group = None;
        self.group(group).desired_capacity -= 1;
        self.groups.get_mut(&GroupName::new(group)).unwrap().members.pop();
    }

    /// Gives an instance tasks, half an instance each.
    fn load(&mut self, index: usize, tasks: usize) {
        let instance = &mut self.inventory.instances[index];
        instance.tasks = Some(vec![task(TaskKind::Service(0)); tasks]);
        let held = i64::try_from(tasks).unwrap() * 1_024;
        instance.remaining = Some(resources(2_048 - held, 7_680 - held));
    }

    fn decide(&self) -> Decision {
        decide(&Scene {
            inventory: &self.inventory,
            groups: &self.groups,
            outdated: &self.outdated,
            policy: &self.policy,
            allowance: &budget(self.allowance),
            may_begin: self.may_begin,
            function: FUNCTION,
            now: NOW,
        })
    }

    fn step(&self, index: usize) -> Option<Step> {
        self.decide().steps.remove(&index)
    }

    /// Who is begun or goes.
    fn chosen(&self) -> Vec<usize> {
        let steps = self.decide().steps.into_iter();
        let is_chosen = |step: &Step| matches!(step, Step::Raise { .. } | Step::Drain { .. });
        steps.filter(|(_, step)| is_chosen(step)).map(|(index, _)| index).collect()
    }
}

fn why(step: Option<Step>) -> String {
    match step {
        Some(Step::Stay(why) | Step::Wait(why)) => why,
        Some(Step::Fail(why)) => format!("fails: {why}"),
        Some(Step::GiveBack { why, .. }) => format!("is given back: {why}"),
        step => format!("{step:?}"),
    }
}

const USED_UP: &str = "no more may go at a time: a budget";

/// The budget is for all groups together, and whatever is on its way out counts into it once.
#[test]
fn groups_share_a_budget_with_what_is_on_its_way() {
    let begun = |allowance, change: fn(&mut Scenery)| {
        let mut scenery = Scenery::of(&[("first", "ab"), ("second", "ab")]);
        scenery.allowance = allowance;
        change(&mut scenery);
        scenery.chosen().len()
    };
    for allowance in 0..6 {
        assert_eq!(begun(allowance, |_| ()), allowance.min(4));
        // One that waits for its replacement, one that drains, and one that does both.
        let rest = allowance.saturating_sub(1);
        let waits = |scenery: &mut Scenery| {
            scenery.claim(0, 1);
            scenery.group("first").desired_capacity += 1;
        };
        assert_eq!(begun(allowance, waits), rest.min(2));
        assert_eq!(begun(allowance, |scenery| scenery.drain_a_stranger("first")), rest.min(4));
        let drains = |scenery: &mut Scenery| {
            scenery.claim(0, 1);
            scenery.drain(0, FUNCTION, None);
        };
        assert_eq!(begun(allowance, drains), rest.min(2));
    }
}

/// Two groups of two, each with one replacement there.
fn two_with_replacements() -> Scenery {
    let mut scenery = Scenery::of(&[("first", "ab"), ("second", "ab")]);
    for (claimed, group) in [(0, "first"), (2, "second")] {
        scenery.claim(claimed, 1);
        scenery.join(group, "a");
    }
    scenery
}

#[test]
fn what_has_its_replacement_goes_as_far_as_the_budget_of_all_groups_lasts() {
    for (strangers, allowance, gone) in [
        (0, 0, [].as_slice()),
        (0, 1, &[0]),
        (0, 2, &[0, 2]),
        (1, 1, &[]),
        (1, 2, &[0]),
        (1, 3, &[0, 2]),
    ] {
        let mut scenery = two_with_replacements();
        scenery.allowance = allowance;
        (0..strangers).for_each(|_| scenery.drain_a_stranger("first"));
        assert_eq!(scenery.chosen(), gone, "{strangers} drain, {allowance} may");
        if gone.len() < 2 {
            assert_eq!(why(scenery.step(2)), USED_UP);
        }
    }
}

#[test]
fn a_decision_says_what_moves_and_how_many_old_places_are_left() {
    let mut scenery = Scenery::of(&[("first", "abcab")]);
    scenery.load(0, 1);
    scenery.claim(0, 1);
    scenery.inventory.instances[4].agent_connected = false;
    scenery.join("first", "c");
    scenery.group("first").desired_capacity -= 1;
    let decision = scenery.decide();
    assert_eq!(scenery.chosen(), [0], "{decision:?}");
    assert_eq!(decision.displaced(), [(id(1), 1)].into());
    assert_eq!(decision.old_places, 3, "1, 2 and 3 take tasks");
}

#[test]
fn one_of_two_claims_waits_while_the_first_replacement_is_there() {
    let mut scenery = Scenery::of(&[("first", "ab")]);
    (0..2).for_each(|index| scenery.claim(index, 1));
    scenery.join("first", "a");
    scenery.group("first").desired_capacity += 1;
    assert_eq!(scenery.step(0), Some(Step::Drain { claimed: 0 }));
    let words = "its replacement is launched since ";
    assert!(why(scenery.step(1)).starts_with(words), "{:?}", scenery.step(1));
}

/// The claimed one could go if another one of the fuller zone had, whose tasks find no room.
#[test]
fn what_no_zone_can_spare_is_given_up_after_two_hours() {
    for (minutes, fails) in [(119, ""), (120, "fails: ")] {
        let mut scenery = Scenery::of(&[("first", "ab")]);
        scenery.load(0, 2);
        scenery.claim(1, minutes);
        let replacement = scenery.join("first", "a");
        scenery.load(replacement, 1);
        let expected = format!(
            "{fails}its replacement is there, without room for the tasks of others of its group"
        );
        assert_eq!(why(scenery.step(1)), expected);
    }
}

#[test]
fn a_group_is_raised_by_what_its_instances_count_for() {
    let mut scenery = Scenery::of(&[("first", "ab")]);
    scenery.inventory.instances.iter_mut().for_each(|instance| instance.weight = 3);
    let group = scenery.groups.values_mut().next().unwrap();
    group.members.iter_mut().for_each(|member| member.weight = 3);
    scenery.group("first").desired_capacity = 6;
    for (max_size, capacity) in [(8, None), (9, Some(9)), (11, Some(9)), (12, Some(12))] {
        scenery.groups.values_mut().next().unwrap().max_size = max_size;
        let raised = match scenery.step(0) {
            Some(Step::Raise { desired_capacity, .. }) => desired_capacity,
            _ => None,
        };
        assert_eq!(raised, capacity, "at most {max_size}");
    }
}

/// With what a sweep drains the group gets smaller; what others drain it may replace.
#[test]
fn only_what_a_sweep_drains_is_owed() {
    for (function, cause, goes) in [
        (FUNCTION, None, true),
        (FUNCTION, Some(Cause::Stop), false),
        ("spot-drainer", None, false),
        ("spot-drainer", Some(Cause::Stop), false),
    ] {
        let mut scenery = Scenery::of(&[("first", "abc")]);
        scenery.claim(0, 1);
        scenery.drain(1, function, cause);
        scenery.join("first", "a");
        assert_eq!(!scenery.chosen().is_empty(), goes, "{function} {cause:?}");
    }
}

#[test]
fn what_is_retained_is_terminated_once_it_is_empty_and_nobody_keeps_it() {
    let retained = |change: fn(&mut Scenery)| {
        let mut scenery = Scenery::of(&[("first", "a")]);
        scenery.inventory.instances[0].lifecycle_state = LifecycleState::TerminatingRetained;
        change(&mut scenery);
        scenery.step(0) == Some(Step::TerminateRetained)
    };
    assert!(retained(|_| ()));
    assert!(!retained(|scenery| scenery.load(0, 1)));
    assert!(!retained(|scenery| scenery.set(0, KEEP_ATTRIBUTE, &"")));
    assert!(!retained(|scenery| scenery.may_begin = false));
    assert!(!retained(|scenery| scenery.group("first").tagged_keep = true));
    assert!(!retained(|scenery| {
        scenery.inventory.instances[0].lifecycle_state = LifecycleState::Standby;
    }));
}

#[test]
fn a_raise_that_took_effect_is_not_made_again() {
    for (desired, capacity) in [(1, Some(3)), (2, Some(3)), (3, None), (4, None)] {
        let mut scenery = Scenery::of(&[("first", "ab")]);
        scenery.set(0, REPLACING_ATTRIBUTE, &Claim::Raising { since: NOW, from: 2 });
        scenery.group("first").desired_capacity = desired;
        let step = scenery.step(0);
        assert!(
            matches!(step, Some(Step::Raise { desired_capacity, .. }) if desired_capacity == capacity),
            "{desired}: {step:?}"
        );
    }
}

#[test]
fn a_lost_instance_waits_for_its_replacement_like_any() {
    let mut scenery = Scenery::of(&[("first", "a")]);
    scenery.claim(0, 1);
    scenery.inventory.instances[0].agent_connected = false;
    scenery.group("first").desired_capacity += 1;
    let words = "its replacement is launched since ";
    assert!(why(scenery.step(0)).starts_with(words), "{:?}", scenery.step(0));
}

#[test]
fn only_groups_that_may_shrink_are_gone_on_with() {
    for (allowed, goes) in [("first", true), ("second", false)] {
        let mut scenery = two_with_replacements();
        scenery.policy.groups = Some([GroupName::new(allowed)].into());
        assert_eq!(scenery.chosen().contains(&0), goes);
        if !goes {
            assert_eq!(why(scenery.step(0)), "group first is none of those that may shrink");
        }
    }
}

/// The replacement is in a zone that has one too many with it.
#[test]
fn an_uneven_group_is_raised_once_more_up_to_its_maximum() {
    for (max_size, is_raised) in [(4, false), (5, true), (6, true)] {
        let mut scenery = Scenery::of(&[("first", "a")]);
        scenery.claim(0, 1);
        for zone in ["b", "c", "b"] {
            scenery.join("first", zone);
        }
        scenery.groups.values_mut().next().unwrap().max_size = max_size;
        let step = scenery.step(0);
        if is_raised {
            assert!(
                matches!(step, Some(Step::Raise { desired_capacity: Some(5), .. })),
                "{step:?}"
            );
        } else {
            let words = "fails: the zones of its group would be uneven without it";
            assert!(why(step).starts_with(words));
        }
    }
}

/// It is raised once more for one of those that are claimed, as its replacements are counted then.
#[test]
fn an_uneven_group_is_raised_for_one_at_a_time() {
    let mut scenery = Scenery::of(&[("first", "aa")]);
    (0..2).for_each(|index| scenery.claim(index, 1));
    scenery.inventory.instances[1].agent_connected = false;
    for zone in ["b", "b", "b", "c", "c"] {
        scenery.join("first", zone);
    }
    let steps = [0, 1].map(|index| scenery.step(index));
    assert!(matches!(steps[0], Some(Step::Raise { .. })), "{steps:?}");
    let [_, step] = steps;
    assert_eq!(why(step), "its replacement is in a zone that has nothing to be replaced");
}

#[test]
fn what_is_given_back_says_how_far_its_replacement_came() {
    type Change = fn(&mut Scenery);
    let comes: [(Change, &str); 3] = [
        (|_| (), "EC2 launched no replacement"),
        (
            |scenery| {
                let index = scenery.join("first", "a");
                scenery.inventory.instances.remove(index);
                scenery.group("first").desired_capacity -= 1;
            },
            "no replacement has joined the cluster: 1 instance of its group not in it",
        ),
        (
            |scenery| {
                let index = scenery.join("first", "a");
                scenery.inventory.instances[index].agent_connected = false;
                scenery.group("first").desired_capacity -= 1;
            },
            "no replacement is usable: ACTIVE, with its agent connected",
        ),
    ];
    for (come, words) in comes {
        let mut scenery = Scenery::of(&[("first", "ab")]);
        scenery.claim(0, 20);
        scenery.group("first").desired_capacity += 1;
        come(&mut scenery);
        assert_eq!(why(scenery.step(0)), format!("is given back: {words}"));
    }
}

#[test]
fn after_a_failure_nothing_of_a_group_is_replaced_for_a_day() {
    for (seconds, is_over) in [(86_399, false), (86_400, true), (86_401, true)] {
        let mut scenery = Scenery::of(&[("first", "ab")]);
        scenery.outdated.remove(&0);
        let failed = Claim::Failed { since: seconds_ago(seconds) };
        scenery.set(0, REPLACING_ATTRIBUTE, &failed);
        assert_eq!(scenery.step(0) == Some(Step::Forget), is_over, "{seconds}");
        assert_eq!(scenery.chosen(), if is_over { vec![1] } else { vec![] }, "{seconds}");
    }
}

/// Of instances in these zones, the oldest first, who goes by which budget.
#[test]
fn the_oldest_go_first_of_those_that_leave_the_zones_even() {
    for (zones, allowance, chosen) in [
        ("aabb", 1, [0].as_slice()),
        ("aabb", 2, &[0, 2]),
        ("aabb", 3, &[0, 1, 2]),
        ("baaa", 1, &[1]),
        ("baaa", 2, &[1, 2]),
        ("abc", 2, &[0, 1]),
    ] {
        let mut scenery = Scenery::of(&[("first", zones)]);
        scenery.allowance = allowance;
        assert_eq!(scenery.chosen(), chosen, "{allowance} of {zones}");
    }
    // What EC2 is to end is before any other.
    let mut scenery = Scenery::of(&[("first", "abc")]);
    scenery.allowance = 1;
    let event = ScheduledEvent {
        code: "instance-retirement".to_owned(),
        not_before: "2025-03-04T05:00:00Z".to_owned(),
    };
    scenery.outdated.insert(1, Why::ScheduledEvent(event));
    assert_eq!(scenery.chosen(), [1]);
}

#[test]
fn what_drains_is_on_its_way_out_of_its_zone() {
    let mut scenery = Scenery::of(&[("first", "bab")]);
    scenery.drain(2, FUNCTION, None);
    scenery.claim(0, 1);
    scenery.join("first", "a");
    assert_eq!(scenery.decide().steps.get(&1), Some(&Step::Drain { claimed: 0 }));
}

#[test]
fn a_cluster_is_being_replaced_while_any_claim_is_left() {
    let mut scenery = Scenery::of(&[("first", "ab")]);
    assert!(!is_under_way(&scenery.inventory));
    scenery.claim(1, 1);
    assert!(is_under_way(&scenery.inventory));

    let failed = Claim::Failed { since: NOW };
    for (is_marked, claim, expected) in [
        (true, Some(Claim::Raised { since: NOW }), true),
        (false, Some(Claim::Raised { since: NOW }), false),
        (true, Some(failed), false),
        (true, None, false),
    ] {
        let mut scenery = Scenery::of(&[("first", "a")]);
        if is_marked {
            scenery.drain(0, FUNCTION, None);
        }
        if let Some(claim) = claim {
            scenery.set(0, REPLACING_ATTRIBUTE, &claim);
        }
        assert_eq!(is_replaced(&scenery.inventory.instances[0]), expected, "{is_marked} {claim:?}");
    }
}

/// What keeps a cluster from shrinking keeps nothing from being replaced.
#[test]
fn the_limits_of_removals_do_not_hold_a_replacement_up() {
    let mut scenery = Scenery::of(&[("first", "ab")]);
    scenery.claim(0, 1);
    let replacement = scenery.join("first", "a");
    scenery.load(0, 1);
    scenery.inventory.instances[replacement].registered_at = Some(NOW);
    scenery.policy = Policy {
        headroom_cpu_percent: 90,
        headroom_memory_percent: 90,
        max_removals_percent: 0,
        max_empty_removals_percent: 0,
        min_instances: 10,
        min_instance_age: SignedDuration::from_hours(1),
        ..Policy::default()
    };
    assert_eq!(scenery.step(0), Some(Step::Drain { claimed: 0 }));
    // One without tasks goes by another of these limits.
    scenery.load(0, 0);
    assert_eq!(scenery.step(0), Some(Step::Drain { claimed: 0 }));
}

/// A replacement has all that an old instance has, free of the tasks that move.
#[test]
fn a_full_instance_is_begun_as_its_replacement_takes_its_tasks() {
    type Change = fn(&mut Scenery);
    let changes: [Change; 3] = [
        |_| (),
        |scenery| {
            let port = HostPort { protocol: Protocol::Tcp, number: 80 };
            scenery.inventory.services[0].host_ports = BTreeSet::from([port]);
            scenery.inventory.instances[0].host_ports = BTreeSet::from([port]);
        },
        |scenery| {
            scenery.inventory.services[0].distinct_instance = true;
            scenery.inventory.instances[0].distinct_services = BTreeSet::from([0]);
        },
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let mut scenery = Scenery::of(&[("first", "a")]);
        scenery.load(0, 1);
        // Its one task holds all of its CPU.
        scenery.inventory.instances[0].registered = Some(resources(1_024, 7_680));
        scenery.inventory.instances[0].remaining = Some(resources(0, 6_656));
        change(&mut scenery);
        assert_eq!(scenery.chosen(), [0], "{number}: {:?}", scenery.step(0));
    }
    let mut scenery = Scenery::of(&[("first", "a")]);
    scenery.inventory.instances[0].tasks = None;
    assert_eq!(scenery.chosen(), [0; 0], "what it runs is not known");
}

/// The words name whose tasks would lack room, and the first of two that are so full is not begun.
#[test]
fn what_is_not_sure_to_find_room_says_whose_tasks_they_are() {
    let mut scenery = Scenery::of(&[("first", "ab")]);
    scenery.allowance = 1;
    scenery.load(0, 2);
    scenery.load(1, 2);
    let words = "its tasks (web) are not sure to find room on instances that stay";
    assert_eq!([0, 1].map(|index| why(scenery.step(index))), [words; 2]);
}

/// One that its group keeps takes nothing of the budget.
#[test]
fn what_stays_in_one_group_holds_none_of_another_up() {
    let mut scenery = Scenery::of(&[("first", "a"), ("second", "a")]);
    scenery.allowance = 1;
    assert_eq!(scenery.chosen(), [0]);
    scenery.inventory.instances[0].protected_from_scale_in = true;
    assert_eq!(scenery.chosen(), [1]);
}
