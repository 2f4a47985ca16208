//! What must hold of every decision about replacing, whatever the cluster looks like.

use std::collections::{BTreeMap, BTreeSet};

use ebb_planner::{
    Group, Instance, Inventory, KEEP_ATTRIBUTE, ManagedScaling, Policy, Resources, Service,
    TaskKind,
};
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use crate::auto_scaling::LifecycleState;
use crate::ids::InstanceId;
use crate::mark::Cause;
use crate::reaper::replace::claim::{Claim, REPLACING_ATTRIBUTE};
use crate::reaper::replace::decide::{Decision, Scene, Step, decide, without_raised_groups};
use crate::reaper::replace::members::{GroupMember, GroupMembers};
use crate::reaper::replace::outdated::Why;
use crate::reaper::testing::{
    NOW, budget, drain, group_name, id, instance, inventory, seconds_ago, service, task,
};

const FUNCTION: &str = "scale-in-reaper";

/// What a task of the one service holds: an instance has room for two.
const DEMAND: Resources =
    Resources { cpu: 1_024, memory_mib: 1_024, gpus: 0, network_interfaces: 0 };

/// A container instance of the group, and what is to be known of it.
#[derive(Debug, Clone)]
struct Given {
    tasks: usize,
    is_outdated: bool,
    is_lost: bool,
    is_draining: bool,
    claim: Option<Claim>,
    zone: usize,
}

/// A group with its cluster.
#[derive(Debug, Clone)]
struct World {
    instances: Vec<Given>,
    desired: i64,
    min: i64,
    max: i64,
    /// Members that are not in the cluster: whether they are in service, or pending.
    strangers: Vec<bool>,
    allowance: usize,
    may_begin: bool,
}

fn claim() -> impl Strategy<Value = Option<Claim>> {
    let since = (0_i64..200_000).prop_map(seconds_ago);
    (since, 0_i64..8, 0_usize..10).prop_map(|(since, from, kind)| match kind {
        0 => Some(Claim::Raising { since, from }),
        1..=3 => Some(Claim::Raised { since }),
        4 => Some(Claim::Returning { since }),
        5 => Some(Claim::Failed { since }),
        _ => None,
    })
}

prop_compose! {
    fn given()(
        tasks in 0_usize..3,
        is_outdated in any::<bool>(),
        is_lost in prop::bool::weighted(0.1),
        is_draining in prop::bool::weighted(0.15),
        claim in claim(),
        zone in 0_usize..3,
    ) -> Given {
        // Only what is to be replaced is claimed.
        let is_outdated = is_outdated || claim.is_some_and(Claim::is_open);
        Given { tasks, is_outdated, is_lost, is_draining, claim, zone }
    }
}

prop_compose! {
    fn world()(
        instances in prop::collection::vec(given(), 1..8),
        more in -1_i64..3,
        strangers in prop::collection::vec(any::<bool>(), 0..3),
        min in 0_i64..6,
        room in 0_i64..5,
        allowance in 0_usize..5,
        may_begin in any::<bool>(),
        is_calm in any::<bool>(),
    ) -> World {
        let mut instances = instances;
        let mut strangers = strangers;
        let mut more = more;
        // Half of them are at rest: only there anything is begun.
        if is_calm {
            for given in &mut instances {
                (given.claim, given.is_draining, given.is_lost) = (None, false, false);
            }
            (more, strangers) = (0, Vec::new());
        }
        let desired = (i64::try_from(instances.len()).unwrap() + more).max(0);
        World { instances, desired, min: min.min(desired), max: desired + room, strangers, allowance, may_begin }
    }
}

fn zone(number: usize) -> String {
    format!("eu-west-1{}", ["a", "b", "c"][number % 3])
}

impl World {
    fn inventory(&self) -> Inventory {
        let instances = self.instances.iter().zip(1..).map(|(given, number)| {
            let held = i64::try_from(given.tasks).unwrap() * DEMAND.cpu;
            let mut instance = Instance {
                zone: zone(given.zone),
                agent_connected: !given.is_lost,
                remaining: Some(Resources {
                    cpu: 2_048 - held,
                    memory_mib: 7_680 - held,
                    ..Resources::default()
                }),
                tasks: Some(vec![task(TaskKind::Service(0)); given.tasks]),
                registered_at: Some(seconds_ago(100_000 - i64::try_from(number).unwrap())),
                ..instance(number)
            };
            if given.is_draining {
                drain(&mut instance, FUNCTION, None);
            }
            if let Some(claim) = given.claim {
                instance.attributes.insert(REPLACING_ATTRIBUTE.to_owned(), claim.to_string());
            }
            instance
        });
        let mut inventory = inventory(instances.collect());
        inventory.services = vec![Service { demand: DEMAND, ..service([0, 0]) }];
        let group =
            Group { min_size: self.min, desired_capacity: self.desired, ..Group::default() };
        inventory.groups = [(group_name(), group)].into();
        inventory
    }

    fn members(&self) -> GroupMembers {
        let registered = self.instances.iter().zip(1..).map(|(given, number)| GroupMember {
            instance_id: id(number),
            lifecycle_state: LifecycleState::InService,
            weight: 1,
            zone: zone(given.zone),
            protected_from_scale_in: false,
        });
        let strangers = self.strangers.iter().zip(100..).map(|(in_service, number)| GroupMember {
            instance_id: id(number),
            lifecycle_state: if *in_service {
                LifecycleState::InService
            } else {
                LifecycleState::Pending
            },
            weight: 1,
            zone: zone(0),
            protected_from_scale_in: false,
        });
        GroupMembers {
            max_size: self.max,
            zones: [0, 1, 2].map(zone).to_vec(),
            members: registered.chain(strangers).collect(),
        }
    }

    fn outdated(&self) -> BTreeMap<usize, Why> {
        let instances = self.instances.iter().enumerate();
        let outdated = instances.filter(|(_, given)| given.is_outdated);
        outdated.map(|(index, _)| (index, Why::Age { registered_at: NOW })).collect()
    }

    fn decide(&self) -> Decision {
        self.decide_about(&self.inventory())
    }

    fn decide_about(&self, inventory: &Inventory) -> Decision {
        let outdated = self.outdated();
        let groups = [(group_name(), self.members())].into();
        decide(&Scene {
            inventory,
            groups: &groups,
            outdated: &outdated,
            policy: &Policy::default(),
            allowance: &budget(self.allowance),
            may_begin: self.may_begin,
            function: FUNCTION,
            now: NOW,
        })
    }

    fn is_usable(&self, index: usize) -> bool {
        let given = &self.instances[index];
        !given.is_lost && !given.is_draining
    }

    fn count(&self, is_meant: impl Fn(usize) -> bool) -> usize {
        (0..self.instances.len()).filter(|&index| is_meant(index)).count()
    }
}

fn drained(decision: &Decision) -> Vec<(usize, usize)> {
    let steps = decision.steps.iter();
    let drained = steps.filter_map(|(index, step)| match step {
        Step::Drain { claimed } => Some((*index, *claimed)),
        _ => None,
    });
    drained.collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn no_more_is_on_its_way_than_the_budget_allows(world in world()) {
        let decision = world.decide();
        let draining = world.count(|index| world.instances[index].is_draining);
        let drained = drained(&decision).len();
        prop_assert!(drained == 0 || draining + drained <= world.allowance);
        let claimed = world.count(|index| {
            let given = &world.instances[index];
            given.is_draining || given.claim.is_some_and(Claim::is_open)
        });
        let begun = decision.steps.iter().filter(|(index, step)| {
            let is_new = !world.instances[**index].claim.is_some_and(Claim::is_open);
            is_new && matches!(step, Step::Raise { .. })
        });
        let begun = begun.count();
        prop_assert!(begun == 0 || claimed + begun <= world.allowance);
        prop_assert!(begun == 0 || world.may_begin);
    }

    #[test]
    fn what_stays_is_as_much_as_the_group_wants_without_its_replacements(world in world()) {
        let drained = drained(&world.decide());
        let usable = world.count(|index| world.is_usable(index));
        let owed = world.count(|index| {
            let given = &world.instances[index];
            given.is_draining || given.claim.is_some_and(Claim::is_open)
        });
        let wanted = (world.desired - i64::try_from(owed).unwrap()).max(world.min);
        let left = i64::try_from(usable).unwrap() - i64::try_from(drained.len()).unwrap();
        prop_assert!(drained.is_empty() || left >= wanted, "{drained:?}");
        for (index, _) in drained {
            prop_assert!(world.is_usable(index) && world.instances[index].is_outdated);
        }
    }

    /// Each replacement lets one go: the claims that drains take over are open, raised, and no two
    /// are the same; and what is still claimed besides keeps its own.
    #[test]
    fn every_drain_takes_a_claim_of_its_own(world in world()) {
        let decision = world.decide();
        let drained = drained(&decision);
        let claims: BTreeSet<_> = drained.iter().map(|(_, claimed)| *claimed).collect();
        prop_assert_eq!(claims.len(), drained.len());
        for claimed in claims {
            let given = &world.instances[claimed];
            let is_raised = matches!(given.claim, Some(Claim::Raised { .. }));
            prop_assert!(is_raised && !given.is_draining);
            // One whose claim passes on has nothing else to be done by it.
            let is_own = drained.iter().any(|(index, _)| *index == claimed);
            prop_assert!(is_own || matches!(decision.steps.get(&claimed), None | Some(Step::Stay(_))));
        }
    }

    #[test]
    fn what_goes_leaves_the_zones_as_even_as_they_are(world in world()) {
        let drained = drained(&world.decide());
        let mut counts = [0_i64; 3];
        for member in world.members().members {
            counts[[0, 1, 2].into_iter().find(|number| zone(*number) == member.zone).unwrap()] += 1;
        }
        for given in world.instances.iter().filter(|given| given.is_draining) {
            counts[given.zone] -= 1;
        }
        let spread = |counts: [i64; 3]| counts.iter().max().unwrap() - counts.iter().min().unwrap();
        let before = spread(counts);
        for (index, _) in &drained {
            counts[world.instances[*index].zone] -= 1;
        }
        prop_assert!(drained.is_empty() || spread(counts) <= before.max(1), "{counts:?}");
    }

    /// With one kind of task, room is a number: so many more fit on what stays and is up to date.
    #[test]
    fn the_tasks_of_what_goes_fit_on_what_is_not_to_be_replaced(world in world()) {
        let drained = drained(&world.decide());
        let moved: usize = drained.iter().map(|(index, _)| world.instances[*index].tasks).sum();
        let room: usize = (0..world.instances.len())
            .filter(|&index| world.is_usable(index) && !world.instances[index].is_outdated)
            .map(|index| 2 - world.instances[index].tasks)
            .sum();
        prop_assert!(moved <= room, "{moved} tasks, room for {room}");
    }

    #[test]
    fn a_group_is_raised_from_rest_and_never_above_its_maximum(world in world()) {
        let decision = world.decide();
        let mut is_raised = false;
        for (index, step) in &decision.steps {
            let Step::Raise { desired_capacity, .. } = step else { continue };
            is_raised = true;
            if let Some(capacity) = *desired_capacity {
                prop_assert!(capacity > world.desired && capacity <= world.max);
            }
            let is_new = !world.instances[*index].claim.is_some_and(Claim::is_open);
            // One whose replacement is in another zone is raised for once more.
            prop_assert!(!is_new || world.strangers.is_empty());
            prop_assert!(!is_new || world.is_usable(*index) && world.instances[*index].is_outdated);
        }
        prop_assert!(!is_raised || drained(&decision).is_empty(), "one after the other");
    }

    #[test]
    fn what_is_given_back_was_never_there(world in world()) {
        for step in world.decide().steps.values() {
            let Step::GiveBack { unregistered, raised_by, .. } = step else { continue };
            let strangers: Vec<InstanceId> =
                (100..).take(world.strangers.len()).map(id).collect();
            prop_assert_eq!(unregistered, &strangers);
            let claimed = world.count(|index| world.instances[index].claim.is_some_and(Claim::is_open));
            prop_assert!(*raised_by <= i64::try_from(claimed).unwrap());
        }
    }

    #[test]
    fn every_instance_that_is_to_be_replaced_is_spoken_of(world in world()) {
        let world = World { may_begin: true, ..world };
        let decision = world.decide();
        for index in world.outdated().keys() {
            prop_assert!(decision.steps.contains_key(index));
        }
    }

    #[test]
    fn nothing_else_shrinks_a_group_that_is_raised(world in world()) {
        let inventory = world.inventory();
        let held = without_raised_groups(&inventory);
        let is_open = |given: &Given| given.claim.is_some_and(Claim::is_open);
        let is_held = held.groups[&group_name()].unavailable.is_some();
        prop_assert_eq!(is_held, world.instances.iter().any(is_open));
    }
}

#[test]
fn a_claim_that_waits_for_its_replacement_is_given_up_in_time() {
    let given = |claim, is_outdated| Given {
        tasks: 0,
        is_outdated,
        is_lost: false,
        is_draining: false,
        claim,
        zone: 0,
    };
    for (minutes, pending, expected) in
        [(19, false, "wait"), (20, false, "back"), (20, true, "wait"), (120, true, "back")]
    {
        let since = NOW - SignedDuration::from_mins(minutes);
        let world = World {
            instances: vec![given(Some(Claim::Raised { since }), true), given(None, false)],
            desired: 3,
            min: 2,
            max: 4,
            strangers: if pending { vec![false] } else { Vec::new() },
            allowance: 1,
            may_begin: true,
        };
        let step = match &world.decide().steps[&0] {
            Step::Wait(_) => "wait",
            Step::GiveBack { .. } => "back",
            step => panic!("{step:?}"),
        };
        assert_eq!(step, expected, "{minutes} {pending}");
    }
}

const MANAGED_SCALING: ManagedScaling =
    ManagedScaling { target_capacity: 100, termination_protection: false, scaling_out: false };

/// What becomes of the claim of the first of two instances, that many minutes after it was made.
fn claimed_for(claim: fn(Timestamp) -> Claim, minutes: i64, more: impl Fn(&mut Inventory)) -> Step {
    let claim = claim(NOW - SignedDuration::from_mins(minutes));
    let given = |claim: Option<Claim>| Given {
        tasks: 0,
        is_outdated: claim.is_some(),
        is_lost: false,
        is_draining: false,
        claim,
        zone: 0,
    };
    let world = World {
        instances: vec![given(Some(claim)), given(None)],
        desired: 2,
        min: 2,
        max: 4,
        strangers: Vec::new(),
        allowance: 1,
        may_begin: true,
    };
    let mut inventory = world.inventory();
    more(&mut inventory);
    world.decide_about(&inventory).steps.remove(&0).unwrap()
}

#[test]
fn a_group_that_cannot_be_raised_is_given_up_in_time() {
    let raising = |since| Claim::Raising { since, from: 2 };
    assert!(matches!(claimed_for(raising, 119, |_| ()), Step::Raise { .. }));
    let over = claimed_for(raising, 120, |_| ());
    assert_eq!(over, Step::Fail("its group could not be raised".to_owned()));
}

#[test]
fn a_group_that_others_size_by_now_is_not_changed() {
    let raised = |since| Claim::Raised { since };
    let change: [fn(&mut Group); 4] = [
        |group| group.tagged_keep = true,
        |group| group.owner = Some("AWS Batch".to_owned()),
        |group| group.unavailable = Some("an instance refresh is InProgress".to_owned()),
        |group| group.managed_scaling = Some(MANAGED_SCALING),
    ];
    for change in change {
        let more = |inventory: &mut Inventory| inventory.groups.values_mut().for_each(change);
        let early = claimed_for(raised, 119, more);
        assert!(matches!(early, Step::Wait(_)), "{early:?}");
        let late = claimed_for(raised, 120, more);
        assert!(matches!(late, Step::Fail(_)), "{late:?}");
    }
}

#[test]
fn an_instance_that_has_left_its_group_is_not_claimed_any_more() {
    let raised = |since| Claim::Raised { since };
    let step = claimed_for(raised, 1, |inventory| inventory.instances[0].group = None);
    assert_eq!(step, Step::Forget);
}

impl World {
    /// Carries out what is decided. Auto Scaling launches into an emptiest zone, of several into one
    /// that has something to be replaced, and all that is launched joins before the next sweep.
    fn sweep(&mut self) {
        let (mut raised, mut gone) = (None, Vec::new());
        for (&index, step) in &self.decide().steps {
            match step {
                Step::Raise { desired_capacity, .. } => {
                    self.instances[index].claim = Some(Claim::Raised { since: NOW });
                    raised = raised.or(*desired_capacity);
                }
                Step::Drain { claimed } => {
                    self.instances[*claimed].claim = None;
                    gone.push(index);
                }
                Step::Stay(_) | Step::Wait(_) => {}
                step => panic!("{step:?}"),
            }
        }
        for index in gone.into_iter().rev() {
            self.instances.remove(index);
            self.desired -= 1;
        }
        while raised.is_some_and(|raised| self.desired < raised) {
            let is_done =
                |zone| !self.instances.iter().any(|given| given.is_outdated && given.zone == zone);
            let zones = 0..3;
            let zone = zones.min_by_key(|&zone| (self.in_zone(zone), is_done(zone))).unwrap();
            self.instances.push(Given { zone, ..UP_TO_DATE });
            self.desired += 1;
        }
    }

    fn in_zone(&self, zone: usize) -> usize {
        self.count(|index| self.instances[index].zone == zone)
    }
}

const UP_TO_DATE: Given = Given {
    tasks: 0,
    is_outdated: false,
    is_lost: false,
    is_draining: false,
    claim: None,
    zone: 0,
};

/// A group of this many in three zones, at rest, all of which are to be replaced.
fn outdated(number: usize, allowance: usize, room: i64) -> World {
    let given = |index| Given { is_outdated: true, zone: index % 3, ..UP_TO_DATE };
    let desired = i64::try_from(number).unwrap();
    World {
        instances: (0..number).map(given).collect(),
        desired,
        min: desired,
        max: desired + room,
        strangers: Vec::new(),
        allowance,
        may_begin: true,
    }
}

/// As many at a time as the budget allows and the group's maximum leaves room for: a sweep raises
/// the group for these, and the next drains them.
#[test]
fn all_of_a_group_is_replaced_and_then_its_zones_are_as_even_as_before() {
    for (number, allowance, room) in (1..8)
        .flat_map(|number| (1..4).flat_map(move |a| (1..4).map(move |room| (number, a, room))))
    {
        let mut world = outdated(number, allowance, room);
        let at_a_time = allowance.min(usize::try_from(room).unwrap());
        let mut sweeps = 0;
        while world.instances.iter().any(|given| given.is_outdated) {
            sweeps += 1;
            assert!(
                sweeps <= 2 * number.div_ceil(at_a_time) + 2,
                "{number} {at_a_time}: {world:?}"
            );
            world.sweep();
            assert!(world.instances.len() >= number, "{world:?}");
        }
        assert!(sweeps >= 2 * number.div_ceil(at_a_time), "{sweeps} for {number}: {world:?}");
        // One that was launched for even zones is for later sweeps to take.
        let surplus = world.desired - i64::try_from(number).unwrap();
        assert!((0..=1).contains(&surplus), "{world:?}");
        let zones = [0, 1, 2].map(|zone| world.in_zone(zone));
        assert!(zones.iter().max().unwrap() - zones.iter().min().unwrap() <= 1, "{zones:?}");
    }
}

/// What is said of the first of three instances that are all to be replaced.
#[test]
fn each_reason_why_an_instance_is_not_replaced_now_has_its_words() {
    type Change = fn(&mut World);
    let at_rest: [(Change, &str); 8] = [
        (|world| world.allowance = 0, "no more may go at a time: a budget"),
        (|world| world.max = 3, "group shop-spot is at its maximum size (3)"),
        (
            |world| world.strangers = vec![true],
            "group shop-spot is launching or terminating instances",
        ),
        (
            |world| (world.strangers, world.desired) = (vec![false], 4),
            "group shop-spot is launching or terminating instances",
        ),
        (
            |world| (world.strangers, world.desired) = (vec![true], 4),
            "1 instance of group shop-spot in service and not in this cluster",
        ),
        (
            |world| world.instances[2].is_lost = true,
            "1 instance of group shop-spot not usable: draining or lost",
        ),
        (
            |world| {
                (world.instances[1].is_lost, world.instances[2].is_draining) = (true, true);
            },
            "2 instances of group shop-spot not usable: draining or lost",
        ),
        (
            |world| world.instances[2].claim = Some(Claim::Failed { since: NOW }),
            "nothing of its group is replaced until ",
        ),
    ];
    for (change, words) in at_rest {
        let mut world = outdated(3, 2, 2);
        change(&mut world);
        let step = &world.decide().steps[&0];
        assert!(matches!(step, Step::Stay(why) if why.starts_with(words)), "{words}: {step:?}");
    }
    type ChangeOfOne = fn(&mut Instance);
    let of_itself: [(ChangeOfOne, &str); 5] = [
        (|instance| instance.group = None, "it is in no Auto Scaling group"),
        (
            |instance| instance.lifecycle_state = LifecycleState::Standby,
            "its group says that it is Standby",
        ),
        (|instance| drain(instance, FUNCTION, None), "it drains already"),
        (
            |instance| drain(instance, "spot-drainer", None),
            "others drain it, and it is theirs to terminate",
        ),
        (
            |instance| drain(instance, "spot-drainer", Some(Cause::Stop)),
            "it drains on an interruption notice (stop) of 1970-01-01T00:00:00Z: it goes, or is ACTIVE",
        ),
    ];
    for (change, words) in of_itself {
        let world = outdated(3, 2, 2);
        let mut inventory = world.inventory();
        change(&mut inventory.instances[0]);
        let step = &world.decide_about(&inventory).steps[&0];
        assert!(matches!(step, Step::Stay(why) if why.starts_with(words)), "{words}: {step:?}");
    }
}

/// What becomes of the first of two instances that are to be replaced, claimed some minutes ago, and
/// with a task each. Its replacement is there, full or empty.
fn with_replacement(minutes: i64, allowance: usize, is_full: bool) -> Step {
    let since = NOW - SignedDuration::from_mins(minutes);
    let mut world = outdated(2, allowance, 2);
    world.instances[0].claim = Some(Claim::Raised { since });
    world.instances[..2].iter_mut().for_each(|given| given.tasks = 1);
    world.instances.push(Given { zone: 2, tasks: if is_full { 2 } else { 0 }, ..UP_TO_DATE });
    world.desired += 1;
    world.decide().steps.remove(&0).unwrap()
}

#[test]
fn what_has_its_replacement_waits_for_its_budget_and_in_vain_for_room() {
    assert_eq!(with_replacement(1, 1, false), Step::Drain { claimed: 0 });
    let used_up = Step::Wait("no more may go at a time: a budget".to_owned());
    for (minutes, is_full) in [(1, false), (1, true), (120, false), (120, true)] {
        assert_eq!(with_replacement(minutes, 0, is_full), used_up);
    }
    let early = with_replacement(119, 1, true);
    assert!(matches!(early, Step::Wait(_)) && early != used_up, "{early:?}");
    let late = with_replacement(120, 1, true);
    assert!(matches!(late, Step::Fail(_)), "{late:?}");
}

#[test]
fn what_nothing_may_take_is_not_replaced_either() {
    let changes: [fn(&mut Instance); 2] = [
        |instance| instance.protected_from_scale_in = true,
        |instance| drop(instance.attributes.insert(KEEP_ATTRIBUTE.to_owned(), String::new())),
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let world = outdated(3, 3, 3);
        let mut inventory = world.inventory();
        change(&mut inventory.instances[0]);
        let steps = world.decide_about(&inventory).steps;
        assert!(matches!(&steps[&0], Step::Stay(_)), "{number}: {:?}", steps[&0]);
        assert!(matches!(&steps[&1], Step::Raise { .. }), "{number}: {:?}", steps[&1]);
    }
}
