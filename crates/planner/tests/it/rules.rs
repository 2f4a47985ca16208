//! The rules by which an instance is kept, one by one and in their order, and the certificate on
//! clusters that can be worked out by hand.

use ebb_planner::auto_scaling::LifecycleState;
use ebb_planner::ecs::ContainerInstanceStatus;
use ebb_planner::{
    Group, Headroom, HostPort, Instance, Inventory, KeepReason, ManagedScaling, Policy, Protocol,
    RemoveReason, Reserved, Resources, Service, Task, TaskKind, group_may_shrink, kept_by_group,
    plan,
};
use jiff::SignedDuration;

use crate::generate::{boundless, empty, group_name, instance, now, room, run, service, tcp};

fn cluster(rooms: &[(i64, i64)]) -> Inventory {
    let mut inventory = empty();
    let instances = rooms.iter().enumerate();
    inventory.instances =
        instances.map(|(position, &(cpu, mib))| instance(position, 0, 0, room(cpu, mib))).collect();
    let desired_capacity = i64::try_from(rooms.len()).unwrap();
    inventory.groups.insert(group_name(0), Group { desired_capacity, ..Group::default() });
    inventory
}

fn protect(inventory: &mut Inventory, instances: impl IntoIterator<Item = usize>) {
    for position in instances {
        inventory.instances[position].protected_from_scale_in = true;
    }
}

/// Why the first instance goes or stays, in one word.
fn word(inventory: &Inventory, policy: &Policy) -> &'static str {
    let plan = plan(inventory, policy, now());
    let first = &inventory.instances[0].instance_id;
    let removed = plan
        .remove
        .iter()
        .find(|removal| removal.instance_id == *first)
        .map(|removal| removal.reason.code());
    let kept =
        || plan.keep.iter().find(|kept| kept.instance_id == *first).map(|kept| kept.reason.code());
    removed.or_else(kept).unwrap()
}

/// Makes a rule speak.
type Change = fn(&mut Inventory, &mut Policy);

/// Each makes one rule speak. In the order of the rules: the first that applies is given.
const RULES: [(&str, Change); 19] = [
    ("contradiction", |inventory, _| first(inventory).unknown_resource = Some("FPGA".to_owned())),
    ("draining", |inventory, _| first(inventory).status = ContainerInstanceStatus::Draining),
    ("not_active", |inventory, _| {
        if first(inventory).status == ContainerInstanceStatus::Active {
            first(inventory).status = ContainerInstanceStatus::Registering;
        }
    }),
    ("agent_disconnected", |inventory, _| first(inventory).agent_connected = false),
    ("ecs_managed", |inventory, _| first(inventory).ecs_managed = true),
    ("no_group", |inventory, _| first(inventory).group = None),
    ("not_in_service", |inventory, _| first(inventory).lifecycle_state = LifecycleState::Standby),
    ("unhealthy", |inventory, _| first(inventory).unhealthy = true),
    ("protected_from_scale_in", |inventory, _| first(inventory).protected_from_scale_in = true),
    ("held", |inventory, _| inventory.hold_until = Some("forever".to_owned())),
    ("keep", |inventory, _| keep_first(inventory)),
    ("group_owned", |inventory, _| group(inventory).owner = Some("AWS Batch".to_owned())),
    ("group_unavailable", |inventory, _| {
        group(inventory).unavailable = Some("an instance refresh runs".to_owned())
    }),
    ("group_not_allowed", |_, policy| policy.groups = Some([group_name(7)].into())),
    ("managed_scaling", |inventory, _| {
        let (target_capacity, termination_protection, scaling_out) = (100, false, false);
        let scaling = ManagedScaling { target_capacity, termination_protection, scaling_out };
        group(inventory).managed_scaling = Some(scaling)
    }),
    ("too_young", |inventory, _| {
        first(inventory).registered_at = Some(now() - SignedDuration::from_secs(899))
    }),
    ("group_at_minimum", |inventory, _| group(inventory).min_size = 2),
    ("not_read", |inventory, _| first(inventory).tasks = None),
    ("pinned", |inventory, _| {
        let task = Task { id: "x".to_owned(), kind: TaskKind::Standalone, protected: false };
        first(inventory).tasks.iter_mut().for_each(|tasks| tasks.push(task.clone()));
    }),
];

fn first(inventory: &mut Inventory) -> &mut Instance {
    &mut inventory.instances[0]
}

fn keep_first(inventory: &mut Inventory) {
    first(inventory).attributes.insert("ebb.keep".to_owned(), String::new());
}

fn group(inventory: &mut Inventory) -> &mut Group {
    inventory.groups.get_mut(&group_name(0)).unwrap()
}

#[test]
fn every_rule_speaks_and_the_first_that_applies_is_given() {
    for (rank, (expected, change)) in RULES.iter().enumerate() {
        let (mut inventory, mut policy) = (cluster(&[(4, 4), (4, 4)]), boundless());
        change(&mut inventory, &mut policy);
        assert_eq!(word(&inventory, &policy), *expected);
        // One in no group has no group that could say anything.
        let later = RULES[rank + 1..].iter().filter(|(word, _)| *word != "no_group");
        later.for_each(|(_, change)| change(&mut inventory, &mut policy));
        assert_eq!(word(&inventory, &policy), *expected, "with every later rule");
    }
    assert_eq!(word(&cluster(&[(4, 4), (4, 4)]), &boundless()), "empty");
}

#[test]
fn what_is_marked_to_be_kept_is_kept_and_takes_tasks() {
    let marks: [Change; 2] =
        [|inventory, _| keep_first(inventory), |inventory, _| group(inventory).tagged_keep = true];
    for (number, mark) in marks.into_iter().enumerate() {
        let (mut inventory, mut policy) = (cluster(&[(4, 4), (4, 4)]), boundless());
        inventory.services.push(service(0, room(1, 1)));
        run(&mut inventory, 1, 0);
        mark(&mut inventory, &mut policy);
        assert_eq!(word(&inventory, &policy), "keep", "mark {number}");
        let removed = plan(&inventory, &policy, now()).remove.len();
        assert_eq!(removed, usize::from(number < 1), "mark {number} of one, or of the whole group");
    }
}

#[test]
fn what_is_no_capacity_is_no_room_no_headroom_and_no_floor() {
    let doubts: [fn(&mut Instance); 2] =
        [|instance| instance.ecs_managed = true, |instance| instance.unhealthy = true];
    for doubt in doubts {
        let mut inventory = cluster(&[(4, 4), (4, 4), (4, 4)]);
        inventory.services.push(service(0, room(3, 3)));
        [0, 1].into_iter().for_each(|position| run(&mut inventory, position, 0));
        protect(&mut inventory, [1, 2]);
        assert_eq!(word(&inventory, &boundless()), "certified");
        doubt(&mut inventory.instances[2]);
        assert_eq!(word(&inventory, &boundless()), "no_room");

        let mut inventory = cluster(&[(4, 4), (4, 4), (4, 4)]);
        inventory.services.push(service(0, room(3, 3)));
        run(&mut inventory, 1, 0);
        protect(&mut inventory, [1, 2]);
        let floor = Policy { min_instances: 2, ..boundless() };
        let headroom = Policy { headroom_cpu_percent: 30, ..boundless() };
        assert_eq!(word(&inventory, &floor), "empty");
        assert_eq!(word(&inventory, &headroom), "empty");
        doubt(&mut inventory.instances[2]);
        assert_eq!(word(&inventory, &floor), "min_instances");
        assert_eq!(word(&inventory, &headroom), "headroom");
    }
}

/// What a service asks of instances.
type Requirement = fn(&mut Service);

#[test]
fn tasks_need_their_platform_and_a_zone_with_a_subnet() {
    let cases: [(Requirement, bool); 7] = [
        (|service| service.os_type = Some("linux".to_owned()), true),
        (|service| service.os_type = Some("windows".to_owned()), false),
        (|service| service.cpu_architecture = Some("arm64".to_owned()), true),
        (|service| service.cpu_architecture = Some("x86_64".to_owned()), false),
        (|service| service.zones = Some(["0", "7"].map(str::to_owned).into()), true),
        (|service| service.zones = Some(["1".to_owned()].into()), false),
        (|service| service.zones = Some([].into()), false),
    ];
    for (number, (change, fits)) in cases.into_iter().enumerate() {
        let mut inventory = cluster(&[(4, 4), (4, 4)]);
        for instance in &mut inventory.instances {
            let attributes = [("ecs.os-type", "linux"), ("ecs.cpu-architecture", "arm64")];
            let attributes = attributes.map(|(name, value)| (name.to_owned(), value.to_owned()));
            instance.attributes.extend(attributes);
        }
        inventory.services.push(service(0, room(1, 1)));
        run(&mut inventory, 0, 0);
        protect(&mut inventory, [1]);
        change(&mut inventory.services[0]);
        let expected = if fits { "certified" } else { "no_room" };
        assert_eq!(word(&inventory, &boundless()), expected, "case {number}");
    }
}

/// A full instance between two empty ones, of which the last is for other tasks.
fn with_room_elsewhere(requirement: Requirement) -> Inventory {
    let mut inventory = cluster(&[(4, 4), (4, 4), (4, 4)]);
    for (instance, os_type) in inventory.instances.iter_mut().zip(["linux", "linux", "windows"]) {
        instance.attributes.insert("ecs.os-type".to_owned(), os_type.to_owned());
    }
    inventory.instances[2].zone = "1".to_owned();
    inventory.services.push(service(0, room(3, 3)));
    run(&mut inventory, 1, 0);
    protect(&mut inventory, [1, 2]);
    requirement(&mut inventory.services[0]);
    inventory
}

#[test]
fn what_only_other_tasks_may_use_is_no_headroom_and_no_floor() {
    let cases: [(Requirement, bool); 5] = [
        (|_| {}, true),
        (|service| service.os_type = Some("linux".to_owned()), false),
        (|service| service.zones = Some(["0".to_owned()].into()), false),
        (|service| service.zones = Some(["0", "1"].map(str::to_owned).into()), true),
        // There, nothing goes.
        (|service| service.os_type = Some("windows".to_owned()), true),
    ];
    for (number, (requirement, goes)) in cases.into_iter().enumerate() {
        let inventory = with_room_elsewhere(requirement);
        let floor = Policy { min_instances: 2, ..boundless() };
        let cpu = Policy { headroom_cpu_percent: 30, ..boundless() };
        let memory = Policy { headroom_memory_percent: 30, ..boundless() };
        for (policy, limit) in [(floor, "min_instances"), (cpu, "headroom"), (memory, "headroom")] {
            let expected = if goes { "empty" } else { limit };
            assert_eq!(word(&inventory, &policy), expected, "case {number}");
        }
    }
}

#[test]
fn tasks_that_may_run_within_count_against_the_headroom_there() {
    // The first instance is for another service alone, whose task may move to the second as well,
    // where two of four would be free; or not.
    for (zones, counts) in [(["1", "0"], true), (["1", "1"], false)] {
        let mut inventory = with_room_elsewhere(|_| {});
        inventory.instances[1].remaining = Some(room(3, 3));
        inventory.services.push(service(1, room(1, 1)));
        run(&mut inventory, 0, 1);
        inventory.instances[0].zone = "1".to_owned();
        inventory.services[0].zones = Some(["0".to_owned()].into());
        inventory.services[1].zones = Some(zones.map(str::to_owned).into());
        let policy = Policy { headroom_cpu_percent: 60, ..boundless() };
        let expected = if counts { "headroom" } else { "certified" };
        assert_eq!(word(&inventory, &policy), expected, "{zones:?}");
    }
}

#[test]
fn where_no_instance_is_left_there_is_no_headroom_to_leave() {
    // The first instance's task may run on either platform, and the last instance goes before it.
    let mut inventory = with_room_elsewhere(|_| {});
    inventory.services.push(service(1, room(1, 1)));
    inventory.services[1].os_type = Some("windows".to_owned());
    inventory.services[0].demand = room(1, 1);
    inventory.instances[1].remaining = Some(room(4, 4));
    run(&mut inventory, 0, 0);
    inventory.instances[2].protected_from_scale_in = false;
    let policy = Policy { min_instances: 0, headroom_cpu_percent: 50, ..boundless() };
    assert_eq!(plan(&inventory, &policy, now()).remove.len(), 2);
}

#[test]
fn an_instance_without_an_attribute_takes_no_task_that_asks_for_another_value_of_it() {
    for (constraint, attributed, goes) in [
        ("attribute:spot != true", [true, true, true], true),
        ("attribute:spot != true", [true, false, false], false),
        ("attribute:spot not_exists", [false, false, true], true),
        // One runs where that would not let it: so ECS does.
        ("attribute:spot != true", [false, false, false], true),
        ("attribute:spot != true", [true, false, true], true),
    ] {
        let mut inventory = cluster(&[(4, 4), (4, 4), (4, 0)]);
        for (instance, has) in inventory.instances.iter_mut().zip(attributed) {
            instance.attributes.extend(has.then(|| ("spot".to_owned(), "false".to_owned())));
        }
        inventory.services.push(service(0, room(1, 0)));
        inventory.services[0].constraints.push(constraint.to_owned());
        run(&mut inventory, 0, 0);
        if attributed == [true, false, true] {
            run(&mut inventory, 1, 0);
        }
        protect(&mut inventory, [1, 2]);
        let expected = if goes { "certified" } else { "no_room" };
        assert_eq!(word(&inventory, &boundless()), expected, "{constraint} {attributed:?}");
    }
}

#[test]
fn settings_let_go_what_they_are_for() {
    let permissions: [(&str, Change); 3] = [
        ("managed_scaling", |_, policy| policy.allow_managed_scaling = true),
        ("pinned", |_, policy| policy.allow_standalone_tasks = true),
        ("too_young", |_, policy| policy.min_instance_age = SignedDuration::from_secs(899)),
    ];
    for (rule, permit) in permissions {
        let (mut inventory, mut policy) = (cluster(&[(4, 4), (4, 4)]), boundless());
        RULES.iter().find(|(name, _)| *name == rule).unwrap().1(&mut inventory, &mut policy);
        permit(&mut inventory, &mut policy);
        assert_eq!(word(&inventory, &policy), "empty", "{rule}");
    }
}

/// The first instance holds one task with a host port and `others` of another service with that
/// port; the other instances stay, and are free of it.
fn with_ports(stays: usize, others: u16, protocol: Protocol) -> Inventory {
    let mut inventory = cluster(&vec![(9, 9); stays + 1]);
    inventory.services = (0..2).map(|number| service(number, room(1, 1))).collect();
    // Should one wait, its old task may be stopped: only the certificate can let it go.
    inventory.services.iter_mut().for_each(|service| service.minimum_healthy_percent = 0);
    inventory.services[0].host_ports.insert(tcp(80));
    inventory.services[1].host_ports.insert(HostPort { protocol, number: 80 });
    run(&mut inventory, 0, 0);
    (0..others).for_each(|_| run(&mut inventory, 0, 1));
    protect(&mut inventory, 1..=stays);
    inventory
}

#[test]
fn every_displaced_task_in_conflict_takes_an_instance_from_the_others() {
    for (stays, others, protocol, goes) in [
        (1, 0, Protocol::Tcp, true),
        (1, 1, Protocol::Tcp, false),
        (2, 1, Protocol::Tcp, true),
        (2, 2, Protocol::Tcp, false),
        (3, 2, Protocol::Tcp, true),
        (1, 1, Protocol::Udp, true),
    ] {
        let word = word(&with_ports(stays, others, protocol), &boundless());
        assert_eq!(
            word,
            if goes { "certified" } else { "no_room" },
            "{others} on {stays} by {protocol:?}"
        );
    }
}

#[test]
fn room_that_chance_could_split_is_not_certified() {
    // A task of 2 and two of 1, of services whose tasks may stop first, for two instances with 2
    // free each: should the small ones part, the large one has no place.
    for (free, goes) in [(2, false), (3, true)] {
        let mut inventory = cluster(&[(9, 9), (free, free), (free, free)]);
        inventory.services = vec![service(0, room(2, 0)), service(1, room(1, 0))];
        inventory.services.iter_mut().for_each(|service| service.minimum_healthy_percent = 0);
        [0, 1, 1].into_iter().for_each(|service| run(&mut inventory, 0, service));
        protect(&mut inventory, [1, 2]);
        assert_eq!(
            word(&inventory, &boundless()),
            if goes { "certified" } else { "no_room" },
            "{free} free"
        );
    }
}

#[test]
fn what_is_on_its_way_counts_wherever_it_could_land() {
    // Room for the first instance's task, but not if another takes it that is on its way and may
    // run there.
    let cases = [
        ("attribute:zone == 1", true),
        ("attribute:zone == 0", false),
        // Not understood, or only in part: nobody can tell where it may run.
        ("a riddle", false),
        ("attribute:type =~ m7g", false),
    ];
    for (constraint, goes) in cases {
        let mut inventory = cluster(&[(9, 9), (2, 2)]);
        inventory.services = vec![service(0, room(2, 0)), service(1, room(2, 0))];
        inventory.services[1].constraints.push(constraint.to_owned());
        inventory.services[1].in_flight = 1;
        run(&mut inventory, 0, 0);
        // In another zone, what is on its way has room.
        inventory.instances.push(instance(2, 0, 1, room(2, 2)));
        for (instance, name) in inventory.instances.iter_mut().zip(["r7g", "m7g.large", "r7g"]) {
            instance.attributes.insert("type".to_owned(), name.to_owned());
        }
        inventory.services[0].constraints.push("attribute:zone == 0".to_owned());
        protect(&mut inventory, [1, 2]);
        assert_eq!(word(&inventory, &boundless()) != "no_room", goes, "{constraint}");
    }
}

#[test]
fn the_plan_names_the_services_whose_tasks_hold_no_place() {
    let mut inventory = cluster(&[(9, 9), (9, 9)]);
    // Alike, one of them with nothing to start; and one that fits on no instance.
    let demands = [(2, 2), (2, 2), (2, 2), (3, 1), (10, 1)];
    inventory.services = demands
        .into_iter()
        .enumerate()
        .map(|(number, (cpu, mib))| service(number, room(cpu, mib)))
        .collect();
    for (number, in_flight) in [(0, 1), (2, 1), (3, 2), (4, 7)] {
        inventory.services[number].in_flight = in_flight;
    }
    run(&mut inventory, 0, 1);
    let reserved = |number: usize, tasks| Reserved {
        service: inventory.services[number].name.clone(),
        tasks,
        demand: inventory.services[number].demand,
    };
    let expected = [reserved(3, 2), reserved(0, 1), reserved(2, 1)];
    assert_eq!(plan(&inventory, &boundless(), now()).reserved, expected);
}

#[test]
fn a_pattern_that_can_be_read_in_two_ways_pins_its_tasks() {
    // Did ECS put the first service's task on the second instance, the other service's would find
    // no place.
    let mut inventory = cluster(&[(6, 6), (4, 4), (4, 4)]);
    let types = ["r7g", "m7g.large", "m7g"];
    for (instance, name) in inventory.instances.iter_mut().zip(types) {
        instance.attributes.insert("type".to_owned(), name.to_owned());
    }
    inventory.services = vec![service(0, room(2, 2)), service(1, room(4, 4))];
    inventory.services[0].constraints.push("attribute:type =~ m7g".to_owned());
    inventory.services[1].constraints.push("attribute:type in [m7g.large]".to_owned());
    let tasks = [0, 1].map(|service| Task {
        id: service.to_string(),
        kind: TaskKind::Service(service),
        protected: false,
    });
    inventory.instances[0].tasks = Some(tasks.into());
    inventory.instances[0].remaining = Some(room(0, 0));
    protect(&mut inventory, [1, 2]);
    let first = plan(&inventory, &boundless(), now()).keep.remove(0).reason;
    assert!(
        matches!(&first, KeepReason::Pinned(why) if why.contains("a part of a value")),
        "{first:?}"
    );

    inventory.instances[1].attributes.insert("type".to_owned(), "m8g".to_owned());
    inventory.services[1].constraints = vec!["attribute:type in [m8g]".to_owned()];
    let first = plan(&inventory, &boundless(), now()).remove.remove(0).reason;
    assert_eq!(first, RemoveReason::Certified { tasks: 2 });
}

#[test]
fn what_is_empty_goes_before_what_has_tasks_whatever_the_zones() {
    // Half of five may go. The third empty one is alone in its zone, and so has to wait for the
    // others; a full one must not go meanwhile.
    let mut inventory = cluster(&[(8, 8); 5]);
    for (instance, zone) in inventory.instances.iter_mut().zip(["c", "a", "b", "a", "b"]) {
        instance.zone = zone.to_owned();
    }
    inventory.services = vec![service(0, room(1, 1))];
    [3, 4].into_iter().for_each(|position| run(&mut inventory, position, 0));
    let policy = Policy { max_removals_percent: 50, keep_zone_balance: true, ..boundless() };
    let plan = plan(&inventory, &policy, now());
    let reasons: Vec<_> = plan.remove.iter().map(|removal| removal.reason.code()).collect();
    assert_eq!(reasons, ["empty", "empty", "empty"], "{:?}", plan.keep);
}

#[test]
fn a_group_keeps_an_instance_for_the_same_reasons_once_it_drains() {
    for (word, change) in RULES {
        let (mut inventory, mut policy) = (cluster(&[(4, 4), (4, 4)]), boundless());
        change(&mut inventory, &mut policy);
        let instance = &inventory.instances[0];
        let group = &inventory.groups[&group_name(0)];
        let kept = kept_by_group(instance, group, &inventory, &policy, now());
        let kept = kept.map(|reason| reason.code());
        let speaks = [
            "not_in_service",
            "protected_from_scale_in",
            "held",
            "keep",
            "group_owned",
            "group_not_allowed",
            "managed_scaling",
            "group_at_minimum",
        ]
        .contains(&word);
        assert_eq!(kept, speaks.then_some(word));
    }
}

/// Zone b stays as it is. Of zone a so many go that the two differ by no more than before, or by one.
#[test]
fn a_zone_shrinks_as_far_as_the_zones_stay_as_even_as_they_are() {
    for (in_a, in_b) in (1..5_usize).flat_map(|in_a| (1..6).map(move |in_b| (in_a, in_b))) {
        let mut inventory = cluster(&vec![(4, 4); in_a + in_b]);
        for (position, instance) in inventory.instances.iter_mut().enumerate() {
            instance.zone = if position < in_a { "a" } else { "b" }.to_owned();
        }
        protect(&mut inventory, in_a..in_a + in_b);
        let policy = Policy { keep_zone_balance: true, ..boundless() };
        let left = in_a - plan(&inventory, &policy, now()).remove.len();
        let may_differ = in_a.abs_diff(in_b).max(1);
        assert_eq!(left, in_a.min(in_b.saturating_sub(may_differ)), "{in_a} in a, {in_b} in b");
        let plan = plan(&inventory, &boundless(), now());
        assert_eq!(plan.remove.len(), in_a, "where zones need not be even");
    }
}

/// An instance refresh is asked for where it could make a difference.
#[test]
fn a_group_may_shrink_unless_a_rule_of_its_own_keeps_all_of_it() {
    let keeping = [
        "group_owned",
        "group_unavailable",
        "group_not_allowed",
        "managed_scaling",
        "group_at_minimum",
    ];
    for (word, change) in RULES {
        let (mut inventory, mut policy) = (cluster(&[(4, 4), (4, 4)]), boundless());
        change(&mut inventory, &mut policy);
        let group = &inventory.groups[&group_name(0)];
        let may_shrink = group_may_shrink(&group_name(0), group, &policy);
        assert_eq!(may_shrink, !keeping.contains(&word), "{word}");
    }
}

#[test]
fn headroom_is_said_in_percent_of_what_is_registered() {
    let resources = |cpu, memory_mib| Resources { cpu, memory_mib, ..Resources::default() };
    let percent = |registered, free| {
        let headroom = Headroom { instances: 1, registered, free };
        [headroom.cpu_percent(), headroom.memory_percent()]
    };
    assert_eq!(percent(resources(400, 80), resources(100, 60)), [25.0, 75.0]);
    assert_eq!(percent(resources(400, 80), resources(-100, 0)), [-25.0, 0.0], "it is owed");
    assert_eq!(percent(resources(0, 0), resources(0, 0)), [0.0, 0.0]);
}
