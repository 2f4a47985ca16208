//! Between what the planner takes and what a recording holds.

use std::collections::{BTreeMap, BTreeSet};

use ebb_core::prices::{PriceBasis, PriceSource};
use ebb_core::reaper::follow_up::PlacementFailure;
use ebb_core::reaper::instance_types::GroupTypes;
use ebb_core::reaper::replace::planned::ReplaceFacts;
use ebb_planner::{
    Group, HostPort, Instance, Inventory, ManagedScaling, Protocol, Resources, Service, Strategy,
    Task, TaskKind,
};

use super::format::{
    RecordedCluster, RecordedFailure, RecordedGroup, RecordedInstance, RecordedLaunchable,
    RecordedManagedScaling, RecordedMember, RecordedResources, RecordedService, RecordedStrategy,
    RecordedTask, RecordedTaskKind, Recording, VERSION,
};
use super::replaceable::RecordedReplace;
use crate::snapshot::{ClusterSnapshot, Snapshot};

impl From<&Snapshot> for Recording {
    fn from(snapshot: &Snapshot) -> Self {
        Self {
            version: VERSION,
            recorded_at: snapshot.at,
            region: snapshot.region.clone(),
            clusters: snapshot.clusters.iter().map(RecordedCluster::from).collect(),
        }
    }
}

impl From<Recording> for Snapshot {
    fn from(recording: Recording) -> Self {
        Self {
            at: recording.recorded_at,
            region: recording.region,
            clusters: recording.clusters.into_iter().map(ClusterSnapshot::from).collect(),
        }
    }
}

impl From<&ClusterSnapshot> for RecordedCluster {
    fn from(snapshot: &ClusterSnapshot) -> Self {
        let Inventory { cluster, instances, groups, services, hold_until } = &snapshot.inventory;
        Self {
            cluster: cluster.clone(),
            instances: instances.iter().map(|it| recorded_instance(it, services)).collect(),
            groups: groups
                .iter()
                .map(|(name, group)| {
                    let launchable = snapshot.group_types.get(name).map(RecordedLaunchable::from);
                    (name.clone(), RecordedGroup { launchable, ..group.into() })
                })
                .collect(),
            services: services.iter().map(RecordedService::from).collect(),
            hold_until: hold_until.clone(),
            unplaced: snapshot.unplaced.iter().map(RecordedFailure::from).collect(),
            never_joined: snapshot
                .never_joined
                .iter()
                .cloned()
                .map(|(instance_id, group)| RecordedMember { instance_id, group })
                .collect(),
            unclear_members: snapshot.unclear_members,
            replace: snapshot.replace.as_ref().map(RecordedReplace::from),
            price_sources: snapshot
                .prices
                .sources
                .iter()
                .map(|source| source.as_str().to_owned())
                .collect(),
            spot_unknown: snapshot.prices.spot_unknown,
        }
    }
}

impl From<RecordedCluster> for ClusterSnapshot {
    fn from(recorded: RecordedCluster) -> Self {
        let positions: BTreeMap<_, _> = recorded
            .services
            .iter()
            .enumerate()
            .map(|(position, service)| (service.name.clone(), position))
            .collect();
        let instances = recorded.instances.into_iter();
        let launchable = recorded.groups.iter().filter_map(|(name, group)| {
            Some((name.clone(), GroupTypes::from(group.launchable.clone()?)))
        });
        Self {
            group_types: launchable.collect(),
            inventory: Inventory {
                cluster: recorded.cluster,
                instances: instances.map(|it| instance(it, &positions)).collect(),
                groups: recorded
                    .groups
                    .into_iter()
                    .map(|(name, group)| (name, group.into()))
                    .collect(),
                services: recorded.services.into_iter().map(Service::from).collect(),
                hold_until: recorded.hold_until,
            },
            unplaced: recorded.unplaced.into_iter().map(PlacementFailure::from).collect(),
            never_joined: recorded
                .never_joined
                .into_iter()
                .map(|member| (member.instance_id, member.group))
                .collect(),
            unclear_members: recorded.unclear_members,
            replace: recorded.replace.map(ReplaceFacts::from),
            prices: PriceBasis {
                // A source that a later release knows is left out.
                sources: recorded
                    .price_sources
                    .iter()
                    .filter_map(|word| PriceSource::from_word(word))
                    .collect(),
                spot_unknown: recorded.spot_unknown,
            },
        }
    }
}

fn recorded_instance(instance: &Instance, services: &[Service]) -> RecordedInstance {
    let name = |position: &usize| services.get(*position).map(|service| service.name.clone());
    RecordedInstance {
        instance_id: instance.instance_id.clone(),
        arn: instance.arn.clone(),
        group: instance.group.clone(),
        lifecycle_state: instance.lifecycle_state.to_string(),
        protected_from_scale_in: instance.protected_from_scale_in,
        unhealthy: instance.unhealthy,
        ecs_managed: instance.ecs_managed,
        weight: instance.weight,
        zone: instance.zone.clone(),
        instance_type: instance.instance_type.clone(),
        attributes: instance.attributes.clone(),
        status: instance.status.to_string(),
        agent_connected: instance.agent_connected,
        registered_at: instance.registered_at,
        registered: instance.registered.map(RecordedResources::from),
        remaining: instance.remaining.map(RecordedResources::from),
        unknown_resource: instance.unknown_resource.clone(),
        host_ports: instance.host_ports.iter().map(HostPort::to_string).collect(),
        tasks: instance
            .tasks
            .as_ref()
            .map(|tasks| tasks.iter().map(|task| recorded_task(task, services)).collect()),
        distinct_services: instance.distinct_services.iter().filter_map(name).collect(),
        price_microusd: instance.price_microusd,
    }
}

fn instance(recorded: RecordedInstance, positions: &BTreeMap<String, usize>) -> Instance {
    let position = |name: &String| positions.get(name).copied();
    Instance {
        group: recorded.group,
        lifecycle_state: recorded.lifecycle_state.as_str().into(),
        protected_from_scale_in: recorded.protected_from_scale_in,
        unhealthy: recorded.unhealthy,
        ecs_managed: recorded.ecs_managed,
        weight: recorded.weight,
        zone: recorded.zone,
        instance_type: recorded.instance_type,
        attributes: recorded.attributes,
        status: recorded.status.as_str().into(),
        agent_connected: recorded.agent_connected,
        registered_at: recorded.registered_at,
        registered: recorded.registered.map(Resources::from),
        remaining: recorded.remaining.map(Resources::from),
        unknown_resource: recorded.unknown_resource,
        host_ports: host_ports(&recorded.host_ports),
        tasks: recorded
            .tasks
            .map(|tasks| tasks.into_iter().map(|recorded| task(recorded, positions)).collect()),
        distinct_services: recorded.distinct_services.iter().filter_map(position).collect(),
        price_microusd: recorded.price_microusd,
        ..Instance::new(recorded.instance_id, recorded.arn)
    }
}

fn recorded_task(task: &Task, services: &[Service]) -> RecordedTask {
    let kind = match task.kind {
        TaskKind::Service(position) => match services.get(position) {
            Some(service) => RecordedTaskKind::Service { service: service.name.clone() },
            None => RecordedTaskKind::UnknownService,
        },
        TaskKind::UnknownService => RecordedTaskKind::UnknownService,
        TaskKind::Daemon => RecordedTaskKind::Daemon,
        TaskKind::Standalone => RecordedTaskKind::Standalone,
        TaskKind::Stopping => RecordedTaskKind::Stopping,
    };
    RecordedTask { id: task.id.clone(), kind, protected: task.protected }
}

fn task(recorded: RecordedTask, positions: &BTreeMap<String, usize>) -> Task {
    let kind = match recorded.kind {
        // A service that was taken out by hand keeps the instances of its tasks.
        RecordedTaskKind::Service { service } => positions
            .get(&service)
            .map_or(TaskKind::UnknownService, |&position| TaskKind::Service(position)),
        RecordedTaskKind::UnknownService => TaskKind::UnknownService,
        RecordedTaskKind::Daemon => TaskKind::Daemon,
        RecordedTaskKind::Standalone => TaskKind::Standalone,
        RecordedTaskKind::Stopping => TaskKind::Stopping,
    };
    Task { id: recorded.id, kind, protected: recorded.protected }
}

impl From<&Service> for RecordedService {
    fn from(service: &Service) -> Self {
        Self {
            name: service.name.clone(),
            demand: service.demand.into(),
            host_ports: service.host_ports.iter().map(HostPort::to_string).collect(),
            distinct_instance: service.distinct_instance,
            constraints: service.constraints.clone(),
            os_type: service.os_type.clone(),
            cpu_architecture: service.cpu_architecture.clone(),
            zones: service.zones.clone(),
            capacity_providers: service.capacity_providers.clone(),
            strategy: service.strategy.iter().map(RecordedStrategy::from).collect(),
            minimum_healthy_percent: service.minimum_healthy_percent,
            maximum_percent: service.maximum_percent,
            in_flight: service.in_flight,
            tasks_to_rebalance: service.tasks_to_rebalance,
            keep_tasks: service.keep_tasks,
            unclear: service.unclear.clone(),
        }
    }
}

impl From<RecordedService> for Service {
    fn from(recorded: RecordedService) -> Self {
        Self {
            name: recorded.name,
            demand: recorded.demand.into(),
            host_ports: host_ports(&recorded.host_ports),
            distinct_instance: recorded.distinct_instance,
            constraints: recorded.constraints,
            os_type: recorded.os_type,
            cpu_architecture: recorded.cpu_architecture,
            zones: recorded.zones,
            capacity_providers: recorded.capacity_providers,
            strategy: recorded.strategy.into_iter().map(Strategy::from).collect(),
            minimum_healthy_percent: recorded.minimum_healthy_percent,
            maximum_percent: recorded.maximum_percent,
            in_flight: recorded.in_flight,
            tasks_to_rebalance: recorded.tasks_to_rebalance,
            keep_tasks: recorded.keep_tasks,
            unclear: recorded.unclear,
        }
    }
}

impl From<&Strategy> for RecordedStrategy {
    fn from(strategy: &Strategy) -> Self {
        match strategy {
            Strategy::Random => Self::Random,
            Strategy::Spread(field) => Self::Spread(field.clone()),
            Strategy::BinpackCpu => Self::BinpackCpu,
            Strategy::BinpackMemory => Self::BinpackMemory,
        }
    }
}

impl From<RecordedStrategy> for Strategy {
    fn from(recorded: RecordedStrategy) -> Self {
        match recorded {
            RecordedStrategy::Random => Self::Random,
            RecordedStrategy::Spread(field) => Self::Spread(field),
            RecordedStrategy::BinpackCpu => Self::BinpackCpu,
            RecordedStrategy::BinpackMemory => Self::BinpackMemory,
        }
    }
}

impl From<&Group> for RecordedGroup {
    fn from(group: &Group) -> Self {
        Self {
            min_size: group.min_size,
            desired_capacity: group.desired_capacity,
            managed_scaling: group.managed_scaling.map(RecordedManagedScaling::from),
            owner: group.owner.clone(),
            tagged_keep: group.tagged_keep,
            hold_until: group.hold_until.clone(),
            unavailable: group.unavailable.clone(),
            launchable: None,
        }
    }
}

impl From<RecordedGroup> for Group {
    fn from(recorded: RecordedGroup) -> Self {
        Self {
            min_size: recorded.min_size,
            desired_capacity: recorded.desired_capacity,
            managed_scaling: recorded.managed_scaling.map(ManagedScaling::from),
            owner: recorded.owner,
            tagged_keep: recorded.tagged_keep,
            hold_until: recorded.hold_until,
            unavailable: recorded.unavailable,
        }
    }
}

impl From<ManagedScaling> for RecordedManagedScaling {
    fn from(scaling: ManagedScaling) -> Self {
        let ManagedScaling { target_capacity, termination_protection, scaling_out } = scaling;
        Self { target_capacity, termination_protection, scaling_out }
    }
}

impl From<RecordedManagedScaling> for ManagedScaling {
    fn from(recorded: RecordedManagedScaling) -> Self {
        let RecordedManagedScaling { target_capacity, termination_protection, scaling_out } =
            recorded;
        Self { target_capacity, termination_protection, scaling_out }
    }
}

impl From<&PlacementFailure> for RecordedFailure {
    fn from(failure: &PlacementFailure) -> Self {
        Self {
            service: failure.service.clone(),
            latest: failure.latest,
            oldest: failure.oldest,
            demand: failure.demand.into(),
        }
    }
}

impl From<RecordedFailure> for PlacementFailure {
    fn from(recorded: RecordedFailure) -> Self {
        Self {
            service: recorded.service,
            latest: recorded.latest,
            oldest: recorded.oldest,
            demand: recorded.demand.into(),
        }
    }
}

impl From<Resources> for RecordedResources {
    fn from(Resources { cpu, memory_mib, gpus, network_interfaces }: Resources) -> Self {
        Self { cpu, memory_mib, gpus, network_interfaces }
    }
}

impl From<RecordedResources> for Resources {
    fn from(recorded: RecordedResources) -> Self {
        let RecordedResources { cpu, memory_mib, gpus, network_interfaces } = recorded;
        Self { cpu, memory_mib, gpus, network_interfaces }
    }
}

/// Host ports as they are written, `80/tcp`. What is none is left out.
fn host_ports(texts: &BTreeSet<String>) -> BTreeSet<HostPort> {
    texts.iter().filter_map(|text| host_port(text)).collect()
}

fn host_port(text: &str) -> Option<HostPort> {
    let (number, protocol) = text.split_once('/')?;
    let protocol = match protocol {
        "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        _ => return None,
    };
    Some(HostPort { protocol, number: number.parse().ok()? })
}
