//! What is empty has a share of its own in a sweep.

use ebb_planner::budgets::{Budget, DisruptionReason};
use ebb_planner::ecs::ContainerInstanceStatus;
use ebb_planner::{
    Amount, Group, Instance, Inventory, Plan, Policy, Removal, RemoveReason, Task, TaskKind, plan,
};

use crate::generate::{
    boundless, drain, empty, group_name, instance, is_usable, now, room, run, service, some_policy,
    wild,
};

/// Twenty instances: twelve are empty but for a daemon task, and each of the others has one task
/// that finds a place anywhere.
fn twenty() -> Inventory {
    let mut inventory = empty();
    inventory.instances = (0..20).map(|number| instance(number, 0, 0, room(1000, 1000))).collect();
    inventory.groups.insert(group_name(0), Group { desired_capacity: 20, ..Group::default() });
    inventory.services.push(service(0, room(10, 10)));
    for position in 0..12 {
        let daemon = Task { id: "d".to_owned(), kind: TaskKind::Daemon, protected: false };
        inventory.instances[position].tasks = Some(vec![daemon]);
    }
    for position in 12..20 {
        run(&mut inventory, position, 0);
    }
    inventory
}

fn policy(max_removals_percent: u32, max_empty_removals_percent: u32) -> Policy {
    Policy { max_removals_percent, max_empty_removals_percent, ..boundless() }
}

/// How many empty instances go, and how many others.
fn counts(plan: &Plan) -> (usize, usize) {
    let is_empty = |reason: &RemoveReason| *reason == RemoveReason::Empty;
    let empty = plan.remove.iter().filter(|removal| is_empty(&removal.reason)).count();
    (empty, plan.remove.len() - empty)
}

#[test]
fn empty_instances_use_up_their_own_share_before_that_of_all() {
    let counts_of =
        |share, empty_share| counts(&plan(&twenty(), &policy(share, empty_share), now()));
    assert_eq!(counts_of(10, 0), (2, 0), "without a share of their own they count like others");
    assert_eq!(counts_of(10, 25), (7, 0), "two of them beyond their own five");
    assert_eq!(counts_of(10, 60), (12, 2), "all of them, and two others");
    assert_eq!(counts_of(5, 100), (12, 1));
    assert_eq!(counts_of(0, 100), (0, 0), "nothing goes where nothing may");
    assert_eq!(counts_of(100, 0), (12, 7), "a place must be left");
}

#[test]
fn what_drains_counts_into_both_shares_and_the_minimum_holds() {
    let mut inventory = twenty();
    inventory.instances[0].status = ContainerInstanceStatus::Draining;
    inventory.instances[1].status = ContainerInstanceStatus::Draining;
    // Of 18: two less than ceil(4.5), and two less than ceil(1.8).
    assert_eq!(counts(&plan(&inventory, &policy(10, 25), now())), (3, 0));

    let policy = Policy { min_instances: 14, ..policy(50, 50) };
    let planned = plan(&twenty(), &policy, now());
    assert_eq!(planned.remove.len(), 6);
    assert!(planned.keep.iter().all(|kept| kept.reason.code() == "min_instances"));
}

#[test]
fn only_daemon_tasks_leave_an_instance_empty() {
    for kind in [TaskKind::Standalone, TaskKind::Stopping] {
        let mut inventory = twenty();
        for instance in &mut inventory.instances[..12] {
            let task = Task { id: "t".to_owned(), kind, protected: false };
            instance.tasks.as_mut().unwrap().push(task);
        }
        let policy = Policy { allow_standalone_tasks: true, ..policy(10, 100) };
        assert_eq!(plan(&inventory, &policy, now()).remove.len(), 2, "{kind:?}");
    }
}

fn only_daemons(instance: &Instance) -> bool {
    instance.tasks.iter().flatten().all(|task| task.kind == TaskKind::Daemon)
}

#[test]
fn random_plans_keep_both_shares_and_are_not_planned_twice() {
    for seed in 0..400 {
        let size = usize::try_from(seed % 24).unwrap() + 1;
        let inventory = wild(seed, size);
        let policy = Policy {
            max_removals_percent: 25,
            max_empty_removals_percent: [25, 50, 100][usize::try_from(seed % 3).unwrap()],
            ..some_policy(seed, size)
        };
        let planned = plan(&inventory, &policy, now());
        let is_removed = |instance: &&Instance| {
            planned.remove.iter().any(|removal| removal.instance_id == instance.instance_id)
        };
        let removed: Vec<_> = inventory.instances.iter().filter(is_removed).collect();
        let empty = removed.iter().filter(|instance| only_daemons(instance)).count();
        let usable =
            inventory.instances.iter().filter(|instance| is_usable(instance, &policy)).count();
        let share = |percent: u32| (usable * percent as usize).div_ceil(100);
        let [own, of_all] =
            [policy.max_empty_removals_percent, policy.max_removals_percent].map(share);
        assert!(removed.len() - empty.min(own) <= of_all, "seed {seed}");

        let mut after = inventory.clone();
        let Inventory { instances, services, .. } = &mut after;
        for instance in instances.iter_mut() {
            if planned.remove.iter().any(|removal| removal.instance_id == instance.instance_id) {
                drain(instance, services);
            }
        }
        let again = plan(&after, &policy, now());
        assert_eq!(again.remove, [], "seed {seed}");
    }
}

#[test]
fn a_budget_takes_the_place_of_the_share_that_it_is_for() {
    let budget = |amount, reason| Budget { amount, reasons: [reason].into(), window: None };
    let (none, five) = (Amount::Percent(0), Amount::Instances(5));
    let (empty, consolidate) = (DisruptionReason::Empty, DisruptionReason::Consolidate);
    let going = |budgets: Vec<Budget>| {
        let policy = Policy { budgets: budgets.into(), ..policy(10, 50) };
        let planned = plan(&twenty(), &policy, now());
        let empty = planned.remove.iter().filter(|removal| removal.reason == RemoveReason::Empty);
        (empty.count(), planned.remove.len())
    };
    assert_eq!(
        going(vec![]),
        (12, 12),
        "ten empty ones by their own share, and two by that of all"
    );
    assert_eq!(going(vec![budget(none, consolidate)]), (10, 10));
    assert_eq!(going(vec![budget(five, empty)]).0, 5, "a budget of theirs is all they have");
    assert_eq!(going(vec![budget(none, empty)]).0, 0);
    assert_eq!(going(vec![budget(five, empty), budget(none, consolidate)]), (5, 5));
    assert_eq!(going(vec![budget(five, consolidate)]), (12, 15));
}

#[test]
fn random_plans_keep_their_budgets() {
    for seed in 0..200 {
        let size = usize::try_from(seed % 24).unwrap() + 1;
        let inventory = wild(seed, size);
        let [consolidate, empty] =
            [seed % 4, seed % 5].map(|count| usize::try_from(count).unwrap());
        let budgets =
            [(consolidate, DisruptionReason::Consolidate), (empty, DisruptionReason::Empty)];
        let budgets = budgets.map(|(count, reason)| Budget {
            amount: Amount::Instances(count),
            reasons: [reason].into(),
            window: None,
        });
        let policy = Policy { budgets: Vec::from(budgets).into(), ..some_policy(seed, size) };
        let planned = plan(&inventory, &policy, now());
        let is_empty = |removal: &&Removal| removal.reason == RemoveReason::Empty;
        let empties = planned.remove.iter().filter(is_empty).count();
        assert!(empties <= empty, "seed {seed}");
        assert!(planned.remove.len() - empties <= consolidate, "seed {seed}");
    }
}
