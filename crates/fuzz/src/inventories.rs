//! Clusters, as AWS would report them or as it never would.

use std::collections::{BTreeMap, BTreeSet};

use arbitrary::{Result, Unstructured};
use ebb_planner::auto_scaling::LifecycleState;
use ebb_planner::ecs::ContainerInstanceStatus;
use ebb_planner::ids::{Cluster, ContainerInstanceArn, GroupName, InstanceId};
use ebb_planner::{
    CAPACITY_PROVIDER, Group, HostPort, Instance, Inventory, ManagedScaling, Plan, Policy,
    Protocol, Resources, Service, Strategy, Task, TaskHeadroom, TaskKind, candidates_to_inspect,
    landing_places, plan, rehearse, spare_instances, task_rooms,
};
use jiff::{SignedDuration, Timestamp};

/// The moment of every plan.
pub(crate) const NOW: Timestamp = Timestamp::constant(1_764_000_000, 0);

/// As many as a cluster of an input has at most: what goes wrong goes wrong with few.
const INSTANCES_MAX: usize = 13;
const SERVICES_MAX: usize = 8;
const TASKS_MAX: usize = 6;

/// A cluster and a policy that are made of the bytes.
pub fn inventories(bytes: &[u8]) {
    let mut bytes = Unstructured::new(bytes);
    let (Ok(inventory), Ok(policy)) = (inventory(&mut bytes), policy(&mut bytes)) else { return };
    let planned = plan(&inventory, &policy, NOW);
    check(&inventory, &planned);
    assert!(planned.steps <= policy.steps_max, "{} steps", planned.steps);

    let _ = candidates_to_inspect(&inventory, &policy, NOW);
    let _ = landing_places(&inventory, &planned, &policy, NOW);
    let _ = rehearse(&inventory, &planned, &policy, NOW);
    let _ = spare_instances(&inventory);
    let _ = task_rooms(&inventory, &policy, NOW);

    let mut reversed = inventory.clone();
    reversed.instances.reverse();
    let again = plan(&reversed, &policy, NOW);
    assert_eq!(ids(&again), ids(&planned), "the order of the inventory matters");
}

/// What goes and what stays, in the order of the plan.
fn ids(plan: &Plan) -> (Vec<&InstanceId>, Vec<&InstanceId>) {
    (
        plan.remove.iter().map(|removal| &removal.instance_id).collect(),
        plan.keep.iter().map(|kept| &kept.instance_id).collect(),
    )
}

/// Whether every instance is in the plan once.
pub(crate) fn check(inventory: &Inventory, plan: &Plan) {
    let (remove, keep) = ids(plan);
    let mut planned: Vec<_> = remove.into_iter().chain(keep).collect();
    let mut expected: Vec<_> = inventory.instances.iter().map(|it| &it.instance_id).collect();
    planned.sort();
    expected.sort();
    assert_eq!(planned, expected, "every instance is in the plan once");
}

/// Two instances of a group and a service with a task on the first of them.
pub(crate) fn small() -> Inventory {
    let group = GroupName::new("shop");
    let room = Resources { cpu: 2048, memory_mib: 4096, ..Resources::default() };
    let instances = (0..2).map(|number| Instance {
        group: Some(group.clone()),
        lifecycle_state: LifecycleState::InService,
        registered_at: Some(NOW - SignedDuration::from_hours(24)),
        registered: Some(room),
        remaining: Some(room),
        tasks: Some(Vec::new()),
        ..Instance::new(id(number), ContainerInstanceArn::new(number.to_string()))
    });
    let mut instances: Vec<_> = instances.collect();
    let demand = Resources { cpu: 256, memory_mib: 512, ..Resources::default() };
    instances[0].remaining = Some(Resources { cpu: 1792, memory_mib: 3584, ..room });
    instances[0].tasks =
        Some(vec![Task { id: "t".to_owned(), kind: TaskKind::Service(0), protected: false }]);
    Inventory {
        cluster: Cluster::new("shop"),
        instances,
        groups: BTreeMap::from([(group, Group { desired_capacity: 2, ..Group::default() })]),
        services: vec![Service::new("web", demand)],
        hold_until: None,
    }
}

fn id(number: usize) -> InstanceId {
    InstanceId::parse(&format!("i-{number:017x}")).expect("17 hexadecimal digits")
}

fn inventory(bytes: &mut Unstructured<'_>) -> Result<Inventory> {
    let services = bytes.int_in_range(0..=SERVICES_MAX)?;
    let instances = bytes.int_in_range(0..=INSTANCES_MAX)?;
    let mut groups = BTreeMap::new();
    for number in 0..bytes.int_in_range(0..=2)? {
        groups.insert(group_name(number), some_group(bytes)?);
    }
    Ok(Inventory {
        cluster: Cluster::new("shop"),
        services: (0..services).map(|number| some_service(bytes, number)).collect::<Result<_>>()?,
        instances: (0..instances)
            .map(|number| some_instance(bytes, number, services))
            .collect::<Result<_>>()?,
        groups,
        hold_until: None,
    })
}

fn policy(bytes: &mut Unstructured<'_>) -> Result<Policy> {
    let limited = Policy::default();
    let boundless = Policy {
        headroom_cpu_percent: 0,
        headroom_memory_percent: 0,
        max_removals_percent: 100,
        min_instances: 0,
        keep_zone_balance: false,
        ..Policy::default()
    };
    let policy = if bytes.ratio(1, 4)? { limited } else { boundless };
    let largest = if bytes.ratio(1, 8)? { bytes.int_in_range(0..=3)? } else { 0 };
    let by_service = BTreeMap::new();
    Ok(Policy {
        task_headroom: TaskHeadroom { largest, by_service },
        allow_managed_scaling: bytes.arbitrary()?,
        allow_standalone_tasks: bytes.arbitrary()?,
        ..policy
    })
}

fn group_name(number: u8) -> GroupName {
    GroupName::new(format!("g{number}"))
}

/// Mostly an amount that a cluster has, sometimes any.
fn amount(bytes: &mut Unstructured<'_>, most: i64) -> Result<i64> {
    if bytes.ratio(1, 16)? {
        return bytes.arbitrary();
    }
    if bytes.ratio(1, 16)? {
        return Ok(*bytes.choose(&[0, -1, i64::MIN, i64::MAX, 1 << 31, (1 << 31) - 1])?);
    }
    bytes.int_in_range(0..=most)
}

fn resources(bytes: &mut Unstructured<'_>, most: i64) -> Result<Resources> {
    let (cpu, memory_mib) = (amount(bytes, most)?, amount(bytes, most)?);
    let (gpus, network_interfaces) =
        if bytes.ratio(1, 8)? { (amount(bytes, 4)?, amount(bytes, 4)?) } else { (0, 0) };
    Ok(Resources { cpu, memory_mib, gpus, network_interfaces })
}

fn host_ports(bytes: &mut Unstructured<'_>) -> Result<BTreeSet<HostPort>> {
    let number = bytes.int_in_range(80..=82)?;
    let port = HostPort { protocol: Protocol::Tcp, number };
    Ok(if bytes.ratio(1, 6)? { BTreeSet::from([port]) } else { BTreeSet::new() })
}

fn some_group(bytes: &mut Unstructured<'_>) -> Result<Group> {
    let scaling = ManagedScaling {
        target_capacity: u32::try_from(amount(bytes, 100)?).unwrap_or(u32::MAX),
        termination_protection: bytes.arbitrary()?,
        scaling_out: bytes.ratio(1, 8)?,
    };
    Ok(Group {
        min_size: amount(bytes, 3)?,
        desired_capacity: amount(bytes, 13)?,
        managed_scaling: bytes.ratio(1, 3)?.then_some(scaling),
        ..Group::default()
    })
}

fn some_service(bytes: &mut Unstructured<'_>, number: usize) -> Result<Service> {
    let mut service = Service::new(format!("s{number}"), resources(bytes, 8)?);
    service.host_ports = host_ports(bytes)?;
    service.distinct_instance = bytes.ratio(1, 6)?;
    if bytes.ratio(1, 6)? {
        service.constraints.push(format!("attribute:rack in [{}]", bytes.int_in_range(0..=2)?));
    }
    if bytes.ratio(1, 6)? {
        let provider = if bytes.arbitrary()? { "spot" } else { "on-demand" };
        service.capacity_providers.insert(provider.to_owned());
    }
    let strategies = [
        Strategy::Random,
        Strategy::Spread("instanceId".to_owned()),
        Strategy::Spread("attribute:rack".to_owned()),
        Strategy::BinpackCpu,
        Strategy::BinpackMemory,
    ];
    for _ in 0..bytes.int_in_range(0..=2)? {
        service.strategy.push(bytes.choose(&strategies)?.clone());
    }
    service.minimum_healthy_percent = u32::try_from(amount(bytes, 100)?).unwrap_or(0);
    service.maximum_percent = u32::try_from(amount(bytes, 200)?).unwrap_or(0);
    if bytes.ratio(1, 4)? {
        service.in_flight = u64::try_from(amount(bytes, 3)?).unwrap_or(u64::MAX);
    }
    if bytes.ratio(1, 4)? {
        service.tasks_to_rebalance = Some(u64::try_from(amount(bytes, 3)?).unwrap_or(u64::MAX));
    }
    Ok(service)
}

fn some_instance(bytes: &mut Unstructured<'_>, number: usize, services: usize) -> Result<Instance> {
    let arn = ContainerInstanceArn::new(number.to_string());
    let registered = resources(bytes, 16)?;
    let mut instance = Instance {
        group: (!bytes.ratio(1, 8)?)
            .then(|| bytes.int_in_range(0..=2).map(group_name))
            .transpose()?,
        lifecycle_state: LifecycleState::InService,
        weight: if bytes.ratio(1, 8)? { amount(bytes, 3)? } else { 1 },
        zone: bytes.int_in_range(0..=2)?.to_string(),
        instance_type: "m7g.large".to_owned(),
        registered_at: Some(NOW - SignedDuration::from_hours(24)),
        registered: Some(registered),
        remaining: Some(if bytes.ratio(1, 8)? { resources(bytes, 16)? } else { registered }),
        host_ports: host_ports(bytes)?,
        tasks: Some(Vec::new()),
        price_microusd: bytes.ratio(1, 2)?.then(|| bytes.arbitrary()).transpose()?,
        ..Instance::new(id(number), arn)
    };
    instance.attributes.insert("rack".to_owned(), bytes.int_in_range(0..=2)?.to_string());
    if bytes.ratio(1, 4)? {
        let provider = if bytes.arbitrary()? { "spot" } else { "on-demand" };
        instance.attributes.insert(CAPACITY_PROVIDER.to_owned(), provider.to_owned());
    }
    if bytes.ratio(1, 16)? {
        instance.status = ContainerInstanceStatus::Draining;
    }
    if bytes.ratio(1, 16)? {
        instance.agent_connected = false;
    }
    let tasks = (0..bytes.int_in_range(0..=TASKS_MAX)?)
        .map(|task| some_task(bytes, format!("t{number}-{task}"), services))
        .collect::<Result<_>>()?;
    instance.tasks = (!bytes.ratio(1, 16)?).then_some(tasks);
    Ok(instance)
}

fn some_task(bytes: &mut Unstructured<'_>, id: String, services: usize) -> Result<Task> {
    // One beyond the services, sometimes.
    let kinds = [
        TaskKind::Service(bytes.int_in_range(0..=services)?),
        TaskKind::Daemon,
        TaskKind::Standalone,
        TaskKind::UnknownService,
        TaskKind::Stopping,
    ];
    let kind = if bytes.ratio(7, 8)? { kinds[0] } else { *bytes.choose(&kinds)? };
    Ok(Task { id, kind, protected: bytes.ratio(1, 32)? })
}
