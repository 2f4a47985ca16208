//! Inventories that contradict themselves: an instance that cannot be as it is said to be stays,
//! with that reason.

use ebb_planner::ecs::ContainerInstanceStatus;
use ebb_planner::{
    Instance, Inventory, KeepReason, Plan, Policy, Removal, RemoveReason, Resources, Task,
    TaskKind, candidates_to_inspect, plan,
};
use proptest::prelude::*;

use crate::generate::{
    boundless, empty, group_name, instance, is_usable, now, room, run, service, tcp, wild,
};
use crate::witness::Witness;

/// Three instances of which two could go, the first with a task.
fn three() -> Inventory {
    let mut inventory = empty();
    inventory.instances = (0..3).map(|number| instance(number, 0, 0, room(2048, 4096))).collect();
    inventory.services.push(service(0, room(256, 512)));
    let group = ebb_planner::Group { desired_capacity: 3, ..Default::default() };
    inventory.groups.insert(group_name(0), group);
    run(&mut inventory, 0, 0);
    inventory
}

/// Plans without limits; what is asked before the tasks are read must not panic either.
fn plan_without_limits(inventory: &Inventory) -> Plan {
    let policy = Policy { steps_max: 100_000, ..boundless() };
    let _ = candidates_to_inspect(inventory, &policy, now());
    plan(inventory, &policy, now())
}

fn reason<'a>(plan: &'a Plan, instance: &Instance) -> Option<&'a KeepReason> {
    plan.keep.iter().find(|kept| kept.instance_id == instance.instance_id).map(|kept| &kept.reason)
}

#[test]
fn an_instance_that_contradicts_itself_is_kept_and_says_so() {
    type Change = fn(&mut Inventory);
    let changes: [(&str, Change); 17] = [
        ("4000 of 2048 remain", |inventory| {
            inventory.instances[0].remaining = Some(room(4000, 512))
        }),
        ("-1 of 2048 remain", |inventory| inventory.instances[0].remaining = Some(room(-1, 512))),
        ("1 of -5 remain", |all| {
            all.instances[0].registered = Some(room(-5, 512));
            all.instances[0].remaining = Some(room(1, 512));
        }),
        ("remain of a resource", |all| {
            all.instances[0].registered = Some(room(i64::MAX, i64::MAX));
            all.instances[0].remaining = Some(room(i64::MAX, i64::MAX));
        }),
        ("remain of a resource", |inventory| {
            inventory.instances[0].remaining = Some(room(i64::MIN, i64::MIN))
        }),
        ("its CPU or its memory is missing", |inventory| inventory.instances[0].registered = None),
        ("its CPU or its memory is missing", |inventory| inventory.instances[0].remaining = None),
        ("resource FPGA", |inventory| {
            inventory.instances[0].unknown_resource = Some("FPGA".to_owned())
        }),
        ("group elsewhere was not found", |all| {
            all.instances[0].group = Some(ebb_planner::ids::GroupName::new("elsewhere"));
        }),
        ("two container instances", |all| {
            let again = all.instances[0].clone();
            all.instances.push(again);
        }),
        ("its weight is 0", |inventory| inventory.instances[0].weight = 0),
        ("its weight is -3", |inventory| inventory.instances[0].weight = -3),
        ("its weight is 9223372036854775807", |inventory| inventory.instances[0].weight = i64::MAX),
        ("a service that was not read", |all| {
            let task = Task { id: "x".to_owned(), kind: TaskKind::Service(7), protected: false };
            all.instances[0].tasks.as_mut().unwrap().push(task);
        }),
        ("holds -256 of a resource", |inventory| inventory.services[0].demand.cpu = -256),
        ("holds 9223372036854775807 of a resource", |inventory| {
            inventory.services[0].demand.gpus = i64::MAX
        }),
        ("more than", |all| {
            let tasks = all.instances[0].tasks.as_mut().unwrap();
            *tasks = vec![tasks[0].clone(); 70_000];
        }),
    ];
    for (problem, change) in changes {
        let mut inventory = three();
        change(&mut inventory);
        let plan = plan_without_limits(&inventory);
        let reason = reason(&plan, &inventory.instances[0]);
        let contradiction =
            matches!(reason, Some(KeepReason::Contradiction(text)) if text.contains(problem));
        assert!(contradiction, "{problem}: {reason:?}");
        assert_eq!(plan.remove.len() + plan.keep.len(), inventory.instances.len(), "{problem}");
        let empty = |removal: &Removal| removal.reason == RemoveReason::Empty;
        assert!(plan.remove.iter().all(empty), "{problem}: its tasks stay, and no others move");
    }
}

#[test]
fn what_is_odd_about_the_cluster_alone_gives_a_plan() {
    let huge = |inventory: &mut Inventory, in_flight: u64| {
        for number in 1..200 {
            let mut service = service(number, room((1 << 30) - i64::try_from(number).unwrap(), 1));
            service.in_flight = in_flight;
            inventory.services.push(service);
        }
        inventory.instances.push(instance(9, 0, 0, room(1 << 30, 1 << 30)));
    };
    let many = |inventory: &mut Inventory, count: usize| {
        for number in 1..count {
            let mut service = service(number, room(number as i64, 1));
            service.in_flight = 1;
            inventory.services.push(service);
        }
    };
    let mut inventories =
        vec![empty(), three(), three(), three(), three(), three(), three(), three(), three()];
    inventories[2].services.clear();
    inventories[2].instances[0].tasks = Some(Vec::new());
    inventories[3].instances.iter_mut().for_each(|instance| {
        (instance.registered, instance.remaining) =
            (Some(Resources::default()), Some(Resources::default()));
    });
    inventories[4].services[0].in_flight = u64::MAX;
    inventories[4].services.push(service(1, room(256, 512)));
    inventories[4].services[1].in_flight = u64::MAX;
    inventories[5]
        .instances
        .iter_mut()
        .for_each(|instance| instance.price_microusd = Some(u64::MAX));
    huge(&mut inventories[6], u64::MAX);
    many(&mut inventories[7], 70_000);
    inventories[8].services[0].demand = Resources::default();
    inventories[8].services[0].in_flight = u64::MAX;
    for (position, inventory) in inventories.iter().enumerate() {
        let plan = plan_without_limits(inventory);
        let listed = plan.remove.len() + plan.keep.len();
        assert_eq!(listed, inventory.instances.len(), "number {position}");
    }
    let plan = plan_without_limits(&inventories[4]);
    assert_eq!(plan.remove, [], "what is on its way fills any cluster");
}

/// Whoever may create a service writes its constraints.
#[test]
fn a_pattern_that_is_too_much_work_pins_its_tasks_and_says_so() {
    let mut inventory = three();
    inventory.services[0].constraints.push("attribute:zone =~ .?{1000}{20}".to_owned());
    let plan = plan_without_limits(&inventory);
    let first = reason(&plan, &inventory.instances[0]);
    let pinned = matches!(first, Some(KeepReason::Pinned(why)) if why.contains("or too large"));
    assert!(pinned, "{first:?}");
    assert_eq!(plan.remove.len(), 2, "what is empty goes all the same");

    // Each is small, but not all of them: the shortest are read, and the others pin their tasks.
    let mut inventory = three();
    let long = "x?".repeat(200);
    let patterns = (0..2_000).map(|number| format!("attribute:zone !~ {long}{number}"));
    inventory.services.extend((1..).zip(patterns).map(|(number, pattern)| ebb_planner::Service {
        constraints: vec![pattern],
        ..service(number, room(256, 512))
    }));
    inventory.services[0].constraints.push("attribute:zone =~ [0-9]".to_owned());
    run(&mut inventory, 1, 2_000);
    let plan = plan_without_limits(&inventory);
    let kept = reason(&plan, &inventory.instances[1]);
    let pinned = matches!(kept, Some(KeepReason::Pinned(why)) if why.contains("take too long"));
    assert!(pinned, "{kept:?}");
    let goes = |removal: &Removal| removal.instance_id == inventory.instances[0].instance_id;
    assert!(plan.remove.iter().any(goes), "{:?}", plan.keep);
}

#[test]
fn a_draining_instance_of_no_weight_gives_its_group_no_room() {
    let mut inventory = three();
    inventory.groups.get_mut(&group_name(0)).unwrap().min_size = 2;
    inventory.instances[2].status = ContainerInstanceStatus::Draining;
    inventory.instances[2].weight = -5;
    assert_eq!(plan_without_limits(&inventory).remove, []);
}

#[test]
fn groups_with_impossible_sizes_are_not_shrunk_below_them() {
    for (min_size, desired_capacity) in
        [(i64::MAX, i64::MIN), (i64::MAX, 3), (3, i64::MIN), (0, -1), (5, 3), (0, 0)]
    {
        let mut inventory = three();
        let group = inventory.groups.get_mut(&group_name(0)).unwrap();
        (group.min_size, group.desired_capacity) = (min_size, desired_capacity);
        let plan = plan_without_limits(&inventory);
        assert_eq!(plan.remove, [], "{min_size} of {desired_capacity}");
    }
}

fn numbers() -> impl Strategy<Value = i64> {
    prop_oneof![
        Just(0),
        Just(1),
        Just(-1),
        Just(i64::MAX),
        Just(i64::MIN),
        Just(1 << 30),
        -10_i64..5000,
        any::<i64>()
    ]
}

/// Puts a number into one place or another.
fn spoil(inventory: &mut Inventory, place: usize, which: usize, number: i64) {
    let position = which % inventory.instances.len();
    let instance = &mut inventory.instances[position];
    let service = which % inventory.services.len();
    let service = &mut inventory.services[service];
    let group = inventory.groups.values_mut().next().unwrap();
    match place {
        0 => instance.weight = number,
        1 => instance.registered = Some(room(number, 4096)),
        2 => instance.remaining = Some(room(1, number)),
        3 => instance.registered.get_or_insert_default().gpus = number,
        4 => service.demand.cpu = number,
        5 => service.demand.network_interfaces = number,
        6 => service.in_flight = number as u64,
        7 => instance.price_microusd = Some(number as u64),
        8 => group.min_size = number,
        9 => group.desired_capacity = number,
        10 => instance.tasks.get_or_insert_default().push(Task {
            id: "garbage".to_owned(),
            kind: TaskKind::Service(number as usize),
            protected: false,
        }),
        11 => {
            instance.distinct_services.insert(number as usize);
        }
        12 => {
            service.host_ports.insert(tcp(number as u16));
        }
        13 => (service.minimum_healthy_percent, service.maximum_percent) = (number as u32, 0),
        14 => instance.attributes.clear(),
        15 => service.constraints.push("attribute:zone in [".to_owned()),
        _ => {
            let again = instance.clone();
            inventory.instances.push(again);
        }
    }
}

/// Whether an instance cannot be as it is said to be.
fn is_contradictory(inventory: &Inventory, instance: &Instance) -> bool {
    let [all, free] =
        [instance.registered, instance.remaining].map(|amounts| amounts.unwrap().to_array());
    let twice =
        inventory.instances.iter().filter(|twin| twin.instance_id == instance.instance_id).count()
            > 1;
    let unbelievable = |amount: &i64| !(0..=1 << 30).contains(amount);
    twice
        || instance.weight < 1
        || all.iter().zip(free).any(|(all, free)| free < 0 || *all < free || unbelievable(all))
        || instance.tasks.iter().flatten().any(|task| match task.kind {
            TaskKind::Service(service) => inventory
                .services
                .get(service)
                .is_none_or(|service| service.demand.to_array().iter().any(unbelievable)),
            _ => false,
        })
}

proptest! {
    #![proptest_config(ProptestConfig {
        // Half of what PROPTEST_CASES says, or else of 256: each case plans several times.
        cases: ProptestConfig::default().cases / 2,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn no_garbage_makes_a_panic_or_removes_what_contradicts_itself(
        seed: u64,
        size in 2_usize..12,
        garbage in proptest::collection::vec((0_usize..17, any::<usize>(), numbers()), 1..6),
    ) {
        let mut inventory = wild(seed, size);
        for (place, which, number) in garbage {
            spoil(&mut inventory, place, which, number);
        }
        let plan = plan_without_limits(&inventory);
        prop_assert_eq!(plan.remove.len() + plan.keep.len(), inventory.instances.len());
        for instance in &inventory.instances {
            let id = &instance.instance_id;
            let goes = plan.remove.iter().any(|removal| removal.instance_id == *id);
            prop_assert!(!goes || !is_contradictory(&inventory, instance), "{:?}", instance);
        }
        let is_trusted = |instance: &Instance| {
            is_usable(instance, &Policy::default()) && !is_contradictory(&inventory, instance)
        };
        let witness = Witness::new(&inventory, &plan, is_trusted);
        prop_assert!(witness.find().is_ok(), "{:?}", plan.remove);
    }
}
