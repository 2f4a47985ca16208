//! What a capacity provider's managed scaling leaves of a group, on clusters that can be worked out
//! by hand.

use std::collections::BTreeMap;

use ebb_planner::{
    CAPACITY_PROVIDER, Group, Instance, Inventory, ManagedScaling, Plan, Policy, Task, TaskKind,
    is_kept_as_spare, plan, spare_instances,
};
use jiff::SignedDuration;

use crate::generate::{boundless, drain, empty, group_name, instance, now, room, run, service};

fn scaling(target_capacity: u32) -> ManagedScaling {
    ManagedScaling { target_capacity, termination_protection: true, scaling_out: false }
}

/// So many instances with this number of small tasks each, and as many empty ones. As ECS does,
/// what holds a task is protected.
fn cluster(busy: usize, tasks: usize, empties: usize, scaling: ManagedScaling) -> Inventory {
    let mut inventory = empty();
    inventory.services.push(service(0, room(10, 10)));
    for number in 0..busy + empties {
        inventory.instances.push(instance(number, 0, 0, room(1_000, 1_000)));
        if number < busy {
            inventory.instances[number].protected_from_scale_in = true;
            (0..tasks).for_each(|_| run(&mut inventory, number, 0));
        }
    }
    let desired_capacity = i64::try_from(busy + empties).unwrap();
    let group = Group { desired_capacity, managed_scaling: Some(scaling), ..Group::default() };
    inventory.groups.insert(group_name(0), group);
    inventory
}

/// Has the tasks that are there stay where they are.
fn pin(inventory: &mut Inventory) {
    for task in inventory.instances.iter_mut().flat_map(|instance| instance.tasks.iter_mut()) {
        task.iter_mut().for_each(|task| task.protected = true);
    }
}

fn assist() -> Policy {
    Policy { allow_managed_scaling: true, ..boundless() }
}

fn planned(inventory: &Inventory) -> Plan {
    plan(inventory, &assist(), now())
}

/// How many go, and why the others stay.
fn outcome(plan: &Plan) -> (usize, BTreeMap<&'static str, usize>) {
    let mut words = BTreeMap::new();
    for kept in &plan.keep {
        *words.entry(kept.reason.code()).or_default() += 1;
    }
    (plan.remove.len(), words)
}

fn pinned_and(word: &'static str, number: usize) -> BTreeMap<&'static str, usize> {
    [("pinned", 4), (word, number)].into()
}

#[test]
fn at_a_hundred_percent_as_much_goes_as_without_a_capacity_provider() {
    for termination_protection in [true, false] {
        let scaling = ManagedScaling { termination_protection, ..scaling(100) };
        let mut managed = cluster(9, 3, 3, scaling);
        if !termination_protection {
            managed.instances.iter_mut().for_each(|it| it.protected_from_scale_in = false);
        }
        let mut alone = managed.clone();
        alone.groups.get_mut(&group_name(0)).unwrap().managed_scaling = None;
        alone.instances.iter_mut().for_each(|it| it.protected_from_scale_in = false);
        assert_eq!(planned(&managed).remove.len(), 11);
        assert_eq!(planned(&managed).remove, planned(&alone).remove);
    }
}

#[test]
fn only_the_protection_that_ecs_sets_itself_keeps_nothing() {
    let mut inventory = cluster(2, 1, 0, scaling(100));
    assert_eq!(outcome(&planned(&inventory)).0, 1);
    let group = inventory.groups.get_mut(&group_name(0)).unwrap();
    let unprotecting = ManagedScaling { termination_protection: false, ..scaling(100) };
    for managed_scaling in [None, Some(unprotecting)] {
        group.managed_scaling = managed_scaling;
        let protected = [("protected_from_scale_in", 2)].into();
        assert_eq!(outcome(&plan(&cluster_with(group), &assist(), now())), (0, protected));
    }
}

/// Two instances with a task each, protected, in this group.
fn cluster_with(group: &Group) -> Inventory {
    let mut inventory = cluster(2, 1, 0, scaling(100));
    inventory.groups.insert(group_name(0), group.clone());
    inventory
}

#[test]
fn the_empty_instances_that_target_capacity_asks_for_stay() {
    // Four hold tasks that may not move: 4 of 5 are 80 %, 4 of 7 are less than 60 %.
    for (target_capacity, goes) in [(100, 6), (90, 5), (80, 5), (60, 3), (40, 0), (1, 0)] {
        for termination_protection in [true, false] {
            let scaling = ManagedScaling { termination_protection, ..scaling(target_capacity) };
            let mut inventory = cluster(4, 1, 6, scaling);
            pin(&mut inventory);
            inventory.instances.iter_mut().for_each(|it| it.protected_from_scale_in = false);
            let plan = planned(&inventory);
            assert_eq!(plan.remove.len(), goes, "{target_capacity} %");
            let rest = if goes == 6 {
                [("pinned", 4)].into()
            } else {
                pinned_and("target_capacity", 6 - goes)
            };
            assert_eq!(outcome(&plan).1, rest, "{target_capacity} %");
        }
    }
}

#[test]
fn each_task_that_waits_for_a_place_may_need_an_empty_instance() {
    for (in_flight, goes) in [(0, 6), (1, 5), (4, 2), (6, 0), (1_000, 0)] {
        let mut inventory = cluster(4, 1, 6, scaling(100));
        pin(&mut inventory);
        inventory.services[0].in_flight = in_flight;
        assert_eq!(planned(&inventory).remove.len(), goes, "{in_flight} tasks");
    }
}

#[test]
fn what_waits_for_a_place_that_the_group_does_not_have_needs_no_instance_of_it() {
    for (cpu, provider, goes) in [(10, "managed", 4), (10, "alone", 6), (2_000, "managed", 6)] {
        let mut inventory = cluster(4, 1, 6, scaling(100));
        pin(&mut inventory);
        for instance in &mut inventory.instances {
            instance.attributes.insert(CAPACITY_PROVIDER.to_owned(), "managed".to_owned());
        }
        let mut apart = instance(10, 1, 0, room(1_000, 1_000));
        apart.attributes.insert(CAPACITY_PROVIDER.to_owned(), "alone".to_owned());
        inventory.instances.push(apart);
        inventory.groups.insert(group_name(1), Group::default());
        let mut waiting = service(1, room(cpu, cpu));
        (waiting.in_flight, waiting.capacity_providers) = (2, [provider.to_owned()].into());
        inventory.services.push(waiting);
        assert_eq!(planned(&inventory).remove.len(), goes, "{cpu} CPU units by {provider}");
    }
}

#[test]
fn what_fits_nowhere_leaves_what_target_capacity_does() {
    let mut inventory = cluster(4, 1, 6, scaling(80));
    pin(&mut inventory);
    let mut waiting = service(1, room(2_000, 2_000));
    waiting.in_flight = 2;
    inventory.services.push(waiting);
    assert_eq!(planned(&inventory).remove.len(), 5);
}

#[test]
fn nothing_goes_where_the_moved_tasks_may_need_as_many_instances_as_before() {
    // Ten of thirteen hold tasks, as 80 % asks for. The three empty ones may take what moves.
    let most = |percent| Policy { max_removals_percent: percent, ..assist() };
    let inventory = cluster(10, 2, 3, scaling(80));
    for (percent, goes) in [(10, 0), (20, 0), (100, 12)] {
        let plan = plan(&inventory, &most(percent), now());
        assert_eq!(plan.remove.len(), goes, "{percent} %");
        if goes == 0 {
            assert_eq!(outcome(&plan).1, [("target_capacity", 13)].into());
        }
    }
    // With the empty ones out of the way they come onto those that hold tasks already. Two are
    // what goes of those.
    let beside_empties = Policy { max_empty_removals_percent: 50, ..most(10) };
    assert_eq!(plan(&inventory, &beside_empties, now()).remove.len(), 5);
    let inventory = cluster(10, 2, 0, scaling(100));
    assert_eq!(plan(&inventory, &most(10), now()).remove.len(), 1);
}

#[test]
fn nothing_goes_where_old_and_new_tasks_side_by_side_need_more_than_target_capacity() {
    // In the end few are needed. Meanwhile one more than 16 of 20 is, where an empty one stays.
    let mut inventory = cluster(16, 1, 4, scaling(80));
    assert!(planned(&inventory).remove.len() > 4);
    inventory.instances[19].attributes.insert("ebb.keep".to_owned(), String::new());
    assert_eq!(outcome(&planned(&inventory)), (0, [("keep", 1), ("target_capacity", 19)].into()));
}

#[test]
fn what_ebb_terminates_itself_leaves_what_target_capacity_asks_for_at_once() {
    let itself = ManagedScaling { termination_protection: false, ..scaling(80) };
    let mut inventory = cluster(4, 1, 6, itself);
    inventory.instances.iter_mut().for_each(|it| it.protected_from_scale_in = false);
    // One of the four may go only if its task certainly needs no other of the empty ones.
    let plan = planned(&inventory);
    let left = 10 - plan.remove.len();
    let moving: usize = plan.remove.iter().map(|removal| removal.reason.tasks()).sum();
    assert!(left * 80 >= 100 * left.min(4 + moving) || plan.remove.is_empty(), "{plan:?}");
    let ecs = cluster(4, 1, 6, scaling(80));
    assert!(planned(&ecs).remove.len() > plan.remove.len(), "ECS takes what it does not need");
}

#[test]
fn a_group_that_is_held_leaves_the_others_their_instances() {
    let mut inventory = cluster(10, 2, 3, scaling(80));
    for number in 13..20 {
        inventory.instances.push(instance(number, 1, 0, room(1_000, 1_000)));
    }
    let group = Group { desired_capacity: 7, ..Group::default() };
    inventory.groups.insert(group_name(1), group);
    let policy = Policy { max_removals_percent: 10, ..assist() };
    let plan = plan(&inventory, &policy, now());
    assert!(!plan.remove.is_empty());
    assert!(plan.remove.iter().all(|removal| removal.group == group_name(1)), "{plan:?}");
}

#[test]
fn what_drains_already_is_not_needed_any_more_but_runs() {
    let mut inventory = cluster(4, 1, 6, scaling(80));
    pin(&mut inventory);
    let Inventory { instances, services, .. } = &mut inventory;
    drain(&mut instances[9], services);
    assert_eq!(planned(&inventory).remove.len(), 4, "five are left, and one drains");
}

#[test]
fn what_ecs_did_not_take_is_not_drained_again_for_a_day() {
    let goes = |hours: i64, scaling: Option<ManagedScaling>| {
        let mut inventory = cluster(1, 1, 1, self::scaling(100));
        pin(&mut inventory);
        inventory.instances[0].protected_from_scale_in = false;
        inventory.groups.get_mut(&group_name(0)).unwrap().managed_scaling = scaling;
        let emptied_at = (now() - SignedDuration::from_hours(hours)).to_string();
        let attributes = &mut inventory.instances[1].attributes;
        attributes.insert(ebb_planner::EMPTIED_ATTRIBUTE.to_owned(), emptied_at);
        outcome(&planned(&inventory)).1.remove("not_taken").is_none()
    };
    assert_eq!([0, 23, 24].map(|hours| goes(hours, Some(scaling(100)))), [false, false, true]);
    assert!(goes(-1, Some(scaling(100))), "a time to come is none that a sweep wrote");
    assert!(goes(1, None), "nothing is left to ECS any more");
}

#[test]
fn an_empty_instance_is_kept_as_spare_once_no_more_run_than_target_capacity_asks_for() {
    let is_kept = |busy, empties, target_capacity| {
        is_kept_as_spare(&cluster(busy, 1, empties, scaling(target_capacity)), &group_name(0))
    };
    assert!(is_kept(10, 3, 80), "ten are 80 % of 12.5");
    assert!(!is_kept(10, 4, 80));
    assert!(is_kept(4, 1, 80) && !is_kept(4, 2, 80), "four are 80 % of five");
    assert!(!is_kept(4, 1, 100), "at a hundred percent none is");
}

#[test]
fn the_empty_instances_that_are_asked_for_are_named() {
    let spare = |target_capacity| spare_instances(&cluster(2, 1, 3, scaling(target_capacity)));
    assert_eq!(spare(99).len(), 3);
    assert_eq!(spare(100).len(), 0, "at a hundred percent none is asked for");
    let daemon = Task { id: "d".to_owned(), kind: TaskKind::Daemon, protected: false };
    let mut inventory = cluster(0, 0, 2, scaling(80));
    let unread = |instance: &mut Instance| instance.tasks = None;
    unread(&mut inventory.instances[0]);
    inventory.instances[1].tasks = Some(vec![daemon]);
    assert_eq!(spare_instances(&inventory).len(), 1);
}

/// Three instances of a group beside a group at its target: four of five hold a task, as 80 % asks for.
/// All tasks may run in both, by the capacity providers of their groups.
fn beside_a_group_at_its_target() -> Inventory {
    let mut inventory = cluster(4, 1, 1, scaling(80));
    for number in 5..8 {
        inventory.instances.push(instance(number, 1, 0, room(1_000, 1_000)));
        run(&mut inventory, number, 0);
    }
    let group =
        Group { desired_capacity: 3, managed_scaling: Some(scaling(100)), ..Group::default() };
    inventory.groups.insert(group_name(1), group);
    for (number, instance) in inventory.instances.iter_mut().enumerate() {
        let provider = if number < 5 { "spot" } else { "on-demand" };
        instance.attributes.insert(CAPACITY_PROVIDER.to_owned(), provider.to_owned());
    }
    let providers = ["on-demand", "spot"].map(str::to_owned);
    inventory.services[0].capacity_providers = providers.into();
    inventory
}

/// How many go of each group.
fn gone(plan: &Plan) -> [usize; 2] {
    [0, 1].map(|group| plan.remove.iter().filter(|it| it.group == group_name(group)).count())
}

#[test]
fn a_spare_instance_of_another_group_is_out_of_the_way_of_tasks_that_may_come() {
    let mut inventory = beside_a_group_at_its_target();
    for number in 0..4 {
        inventory.instances[number].attributes.insert("ebb.keep".to_owned(), String::new());
    }
    // The empty one of five goes with two of three, one for what ECS places there. It comes back.
    assert_eq!(gone(&planned(&inventory)), [1, 2]);
    inventory.instances[4].attributes.insert("ebb.keep".to_owned(), String::new());
    let stays = planned(&inventory);
    assert_eq!(gone(&stays), [0, 0], "a task could take it, and ECS would launch another one");
    let reasons: Vec<_> = stays.keep.iter().map(|kept| kept.reason.to_string()).collect();
    assert!(reasons[7].contains(&format!("group {} for it", group_name(0))), "{reasons:?}");

    inventory.services[0].capacity_providers = ["on-demand".to_owned()].into();
    assert_eq!(gone(&planned(&inventory)), [0, 2], "none may come");
}

#[test]
fn what_goes_of_another_group_takes_no_empty_instance_below_a_hundred_percent() {
    let mut inventory = beside_a_group_at_its_target();
    for number in 0..8 {
        inventory.instances[number].attributes.insert("ebb.keep".to_owned(), String::new());
    }
    inventory.instances[7].attributes.remove("ebb.keep");
    // Five of seven are within 80 %. By the time the task comes ECS may have left five, of which four
    // are within it.
    for (spares, target_capacity, min_size, goes) in [
        (0, 80, 1, 0),
        (1, 80, 1, 0),
        (2, 80, 1, 0),
        (9, 80, 1, 0),
        (0, 100, 1, 1),
        // None of seven may go.
        (2, 80, 7, 1),
        (2, 80, 6, 0),
    ] {
        let mut roomier = inventory.clone();
        for number in 0..spares {
            let mut spare = roomier.instances[4].clone();
            spare.instance_id = instance(20 + number, 0, 0, room(1_000, 1_000)).instance_id;
            spare.arn = instance(20 + number, 0, 0, room(1_000, 1_000)).arn;
            roomier.instances.push(spare);
        }
        let group = roomier.groups.get_mut(&group_name(0)).unwrap();
        (group.managed_scaling, group.min_size) = (Some(scaling(target_capacity)), min_size);
        let case = format!("{spares} more, {target_capacity} %, {min_size} at least");
        assert_eq!(gone(&planned(&roomier)), [0, goes], "{case}");
    }
}

#[test]
fn what_ebb_terminates_itself_is_no_spare_that_comes_back() {
    let mut inventory = beside_a_group_at_its_target();
    let itself = ManagedScaling { termination_protection: false, ..scaling(80) };
    inventory.groups.get_mut(&group_name(0)).unwrap().managed_scaling = Some(itself);
    assert_eq!(gone(&planned(&inventory)), [0, 0]);
}
