//! A cluster as the planner takes it: instances, groups and services as a whole, tasks of few
//! instances only. It decides nothing: what the facts come to is said in
//! `ebb_core::reaper::services`.

mod groups;

use std::collections::{BTreeMap, BTreeSet};

use ebb_core::ecs::ContainerInstanceStatus;
use ebb_core::ids::{Cluster, ContainerInstanceArn, TaskArn};
use ebb_core::reaper::capacity_providers::CapacityProviderStrategyItem;
use ebb_core::reaper::follow_up::PlacementFailure;
use ebb_core::reaper::network_interfaces::{InstanceTypeInterfaces, add_network_interfaces};
use ebb_core::reaper::services::{ServiceDescription, TaskRequirements};
use ebb_core::reaper::subnets::{SubnetZones, confine_to_subnets};
use ebb_core::reaper::tags::hold_until;
use ebb_core::reaper::zone_rebalancing::tasks_to_rebalance;
use ebb_planner::{Instance, Inventory, Task, TaskHeadroom, TaskKind};
use futures_util::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use tokio::sync::Mutex;
use tracing::warn;

pub use self::groups::{Groups, group_of, members_of};
use crate::clients::Clients;
use crate::ecs::{Ecs, PlacedTask};
use crate::error::AwsError;
use crate::invocation::Problem;

/// How many task definitions are asked for at once. The pace bounds how fast the calls follow each
/// other.
const CONCURRENT_READS_MAX: usize = 8;

/// Reads clusters, and keeps what is the same in all of them.
#[derive(Debug)]
pub struct Observer<'a> {
    clients: &'a Clients,
    /// ECS, at the pace of whoever looks.
    ecs: Ecs,
    /// The tasks that room is wanted for: their services matter.
    task_headroom: TaskHeadroom,
    /// Task definitions never change: each is read once.
    task_requirements: Mutex<BTreeMap<String, TaskRequirements>>,
    /// Each subnet is asked about once.
    subnet_zones: Mutex<SubnetZones>,
    /// Each instance type is asked about once.
    instance_type_interfaces: Mutex<InstanceTypeInterfaces>,
}

/// What is known of the services of a cluster beyond what a plan needs.
#[derive(Debug)]
pub struct ServiceFacts {
    /// The services that find no place for a task.
    pub unplaced: Vec<PlacementFailure>,
    /// The services whose deployment fails.
    pub failing: Vec<String>,
    /// Their target groups, by their ARNs.
    pub target_groups: BTreeSet<String>,
}

impl<'a> Observer<'a> {
    /// Begins to look, with reads of ECS by `ecs`, for a plan that is to leave so much room.
    pub fn new(clients: &'a Clients, ecs: Ecs, task_headroom: TaskHeadroom) -> Self {
        Self {
            clients,
            ecs,
            task_headroom,
            task_requirements: Mutex::default(),
            subnet_zones: Mutex::default(),
            instance_type_interfaces: Mutex::default(),
        }
    }

    /// Observes the instances of a cluster as they stand in their groups, without any service or
    /// task.
    ///
    /// # Errors
    /// If the cluster cannot be read, or does not exist.
    pub async fn instances(
        &self,
        cluster: &Cluster,
        groups: &Groups,
        now: Timestamp,
    ) -> Result<Inventory, AwsError> {
        let mut inventory = Inventory {
            cluster: cluster.clone(),
            instances: self.ecs.container_instances(cluster).await?,
            groups: BTreeMap::new(),
            services: Vec::new(),
            hold_until: None,
        };
        groups.join(&mut inventory, now);
        Ok(inventory)
    }

    /// Adds what the cluster's tags say, the services that matter, and the tasks of what drains and
    /// of the instances that `choose` names by index.
    ///
    /// # Errors
    /// If anything of that cannot be read.
    pub async fn add_services_and_tasks(
        &self,
        inventory: &mut Inventory,
        choose: impl FnOnce(&Inventory) -> BTreeSet<usize>,
    ) -> Result<ServiceFacts, AwsError> {
        let cluster = inventory.cluster.clone();
        // For all that it is known, a cluster whose tags cannot be read is held.
        let description = self.ecs.cluster(&cluster).await?;
        inventory.hold_until = hold_until(&description.tags).cloned();
        let services = self.services(&cluster, &description.default_strategy).await?;
        // The tasks of what drains are on their way.
        let instances = inventory.instances.iter().enumerate();
        let draining = instances.filter(|(_, instance)| instance.is_draining());
        let mut inspected: BTreeSet<_> = draining.map(|(index, _)| index).collect();
        inspected.extend(choose(inventory));
        let arns: Vec<_> =
            inspected.iter().map(|&index| inventory.instances[index].arn.clone()).collect();
        let tasks = self.ecs.tasks_on_all(&cluster, &arns).await?;

        let relevant = self.add_services(inventory, &services, &tasks).await?;
        self.add_network_interfaces(inventory).await;
        let protected = self.protected_tasks(inventory, &relevant, &tasks).await?;
        add_tasks(inventory, &inspected, &services, &tasks, &protected);
        self.add_distinct_services(inventory, &tasks).await?;
        self.add_uneven_services(inventory, &relevant).await?;
        let unplaced = relevant
            .iter()
            .zip(&inventory.services)
            .filter_map(|(description, service)| description.unplaced(service))
            .collect();
        let here = services.iter().filter(|service| !service.elsewhere);
        let failing = here.clone().filter(|service| service.deployment_fails);
        let failing = failing.map(|service| service.name.clone()).collect();
        let target_groups = here.flat_map(|service| service.target_groups.clone()).collect();
        Ok(ServiceFacts { unplaced, failing, target_groups })
    }

    /// Every service of a cluster, with the strategy of the cluster where it names none.
    async fn services(
        &self,
        cluster: &Cluster,
        default_strategy: &[CapacityProviderStrategyItem],
    ) -> Result<Vec<ServiceDescription>, AwsError> {
        let mut services = self.ecs.all_services(cluster).await?;
        for service in &mut services {
            service.apply_default_strategy(default_strategy);
        }
        Ok(services)
    }

    /// Adds the replica services that matter: those of the tasks that were read, and those with
    /// tasks on their way. Returns their descriptions, in the order in which they were added.
    async fn add_services<'s>(
        &self,
        inventory: &mut Inventory,
        services: &'s [ServiceDescription],
        tasks: &[PlacedTask],
    ) -> Result<Vec<&'s ServiceDescription>, AwsError> {
        let with_tasks: BTreeSet<_> =
            tasks.iter().filter_map(|task| task.service.as_deref()).collect();
        let on_draining = tasks_on_draining(inventory, tasks);
        let relevant: Vec<_> = services
            .iter()
            .filter(|service| !service.daemon && !service.elsewhere)
            .filter(|service| {
                with_tasks.contains(service.name.as_str())
                    || service.in_flight(tasks_leaving(service, &on_draining)) > 0
                    || is_uneven(service)
                    // What room is kept for must be known, although none of its tasks was read.
                    || self.wants_room_for(service)
            })
            .collect();
        let requirements = self.task_requirements(&relevant).await?;
        inventory.services = relevant
            .iter()
            .map(|service| {
                let definitions: Vec<_> =
                    service.definitions.iter().filter_map(|arn| requirements.get(arn)).collect();
                service.service(&definitions, tasks_leaving(service, &on_draining))
            })
            .collect();
        let subnet_zones = self.subnet_zones(&relevant).await;
        for (service, description) in inventory.services.iter_mut().zip(&relevant) {
            confine_to_subnets(service, &description.subnets, &subnet_zones);
        }
        Ok(relevant)
    }

    /// Whether room may be wanted for a task of a service. One that runs none is not looked at.
    fn wants_room_for(&self, service: &ServiceDescription) -> bool {
        (service.desired > 0 || service.running > 0)
            && self.task_headroom.may_ask_for(&service.name)
    }

    /// The Availability Zones of these services' subnets. If EC2 cannot be asked they are not known
    /// for the rest of the sweep: a missing permission must not hide what else may go.
    async fn subnet_zones(&self, services: &[&ServiceDescription]) -> SubnetZones {
        let mut known = self.subnet_zones.lock().await;
        let subnets = services.iter().flat_map(|service| &service.subnets);
        let subnets = not_asked_about(subnets, &known);
        let zones = self.clients.ec2.subnet_zones(&subnets).await.unwrap_or_else(|error| {
            let cause = Problem::from(error).text;
            warn!("Services in network mode awsvpc keep their instances: {cause}");
            BTreeMap::new()
        });
        add_answers(&mut known, subnets, zones);
        known.clone()
    }

    /// Adds the network interfaces that instances have beside those that tasks may hold, if there
    /// is a service in network mode `awsvpc`.
    async fn add_network_interfaces(&self, inventory: &mut Inventory) {
        if inventory.services.iter().all(|service| service.demand.network_interfaces == 0) {
            return;
        }
        let types = self.instance_type_interfaces(&inventory.instances).await;
        for instance in &mut inventory.instances {
            add_network_interfaces(instance, &types);
        }
    }

    /// How many network interfaces the types of these instances have. If EC2 cannot be asked that is
    /// not known for the rest of the sweep: the fewest that any type has are enough to go on with.
    async fn instance_type_interfaces(&self, instances: &[Instance]) -> InstanceTypeInterfaces {
        let mut known = self.instance_type_interfaces.lock().await;
        let types = instances.iter().map(|instance| &instance.instance_type);
        let types = not_asked_about(types, &known);
        let interfaces =
            self.clients.ec2.network_interfaces(&types).await.unwrap_or_else(|error| {
                let cause = Problem::from(error).text;
                warn!("Instances are taken to have the fewest network interfaces: {cause}");
                BTreeMap::new()
            });
        add_answers(&mut known, types, interfaces);
        known.clone()
    }

    /// What the task definitions of these services require; each is read once per sweep.
    async fn task_requirements(
        &self,
        services: &[&ServiceDescription],
    ) -> Result<BTreeMap<String, TaskRequirements>, AwsError> {
        // A revision never changes, so what one cluster has read serves the next.
        let mut known = self.task_requirements.lock().await;
        let wanted: BTreeSet<_> =
            services.iter().flat_map(|service| &service.definitions).collect();
        let mut reads = Vec::new();
        for arn in wanted.into_iter().filter(|arn| !known.contains_key(*arn)) {
            reads.push(async move { Ok((arn.clone(), self.ecs.task_definition(arn).await?)) });
        }
        let read: Vec<_> = stream::iter(reads).buffered(CONCURRENT_READS_MAX).try_collect().await?;
        known.extend(read);
        Ok(known.clone())
    }

    /// Which tasks of replica services are protected from scale-in.
    async fn protected_tasks(
        &self,
        inventory: &Inventory,
        relevant: &[&ServiceDescription],
        tasks: &[PlacedTask],
    ) -> Result<BTreeSet<TaskArn>, AwsError> {
        let names: BTreeSet<_> = relevant.iter().map(|service| service.name.as_str()).collect();
        let arns: Vec<_> = tasks
            .iter()
            .filter(|task| task.service.as_deref().is_some_and(|name| names.contains(name)))
            .filter(|task| !task.told_to_stop)
            .map(|task| task.arn.clone())
            .collect();
        self.clients.ecs.protected_tasks(&inventory.cluster, &arns).await
    }

    /// Finds out where services that allow one task per instance have theirs, if tasks of them are
    /// to be placed.
    async fn add_distinct_services(
        &self,
        inventory: &mut Inventory,
        tasks: &[PlacedTask],
    ) -> Result<(), AwsError> {
        let with_tasks: BTreeSet<_> =
            tasks.iter().filter_map(|task| task.service.as_deref()).collect();
        let distinct: Vec<_> = inventory
            .services
            .iter()
            .enumerate()
            .filter(|(_, service)| service.distinct_instance)
            .filter(|(_, service)| {
                service.in_flight > 0
                    || with_tasks.contains(service.name.as_str())
                    || self.task_headroom.may_ask_for(&service.name)
            })
            .map(|(index, service)| (index, service.name.clone()))
            .collect();
        for (index, name) in distinct {
            let tasks = self.ecs.tasks_of_service(&inventory.cluster, &name).await?;
            let hosts: BTreeSet<_> = tasks.iter().map(|task| &task.container_instance).collect();
            for instance in &mut inventory.instances {
                if hosts.contains(&instance.arn) {
                    instance.distinct_services.insert(index);
                }
            }
        }
        Ok(())
    }

    /// Finds out how many tasks of services whose zones are uneven ECS has yet to move.
    async fn add_uneven_services(
        &self,
        inventory: &mut Inventory,
        relevant: &[&ServiceDescription],
    ) -> Result<(), AwsError> {
        for (index, description) in relevant.iter().enumerate() {
            if is_uneven(description) {
                let name = &description.name;
                let tasks = self.ecs.tasks_of_service(&inventory.cluster, name).await?;
                let running: Vec<_> = tasks
                    .iter()
                    .filter(|task| !task.told_to_stop)
                    .map(|task| &task.container_instance)
                    .collect();
                let moves = tasks_to_rebalance(inventory, &inventory.services[index], &running);
                inventory.services[index].tasks_to_rebalance = Some(moves);
            }
        }
        Ok(())
    }
}

/// Whether ECS is to move tasks of a service, whatever a sweep does.
fn is_uneven(service: &ServiceDescription) -> bool {
    service.zones_uneven && service.rebalances_zones()
}

/// How many tasks of each service run on draining instances and were not told to stop: they need
/// another place.
fn tasks_on_draining<'t>(inventory: &Inventory, tasks: &'t [PlacedTask]) -> BTreeMap<&'t str, u64> {
    let draining: BTreeSet<_> = inventory
        .instances
        .iter()
        .filter(|instance| instance.status == ContainerInstanceStatus::Draining)
        .map(|instance| &instance.arn)
        .collect();
    let mut counts = BTreeMap::new();
    for task in tasks.iter().filter(|task| draining.contains(&task.container_instance)) {
        if let (Some(service), false) = (&task.service, task.told_to_stop) {
            *counts.entry(service.as_str()).or_default() += 1;
        }
    }
    counts
}

/// How many of a service's tasks on draining instances need another place.
fn tasks_leaving(service: &ServiceDescription, on_draining: &BTreeMap<&str, u64>) -> u64 {
    on_draining.get(service.name.as_str()).copied().unwrap_or(0)
}

/// What EC2 was not asked about yet.
fn not_asked_about<'a, T>(
    names: impl Iterator<Item = &'a String>,
    known: &BTreeMap<String, Option<T>>,
) -> BTreeSet<String> {
    names.filter(|name| !known.contains_key(*name)).cloned().collect()
}

/// Adds what EC2 answered about each name, so that none is asked about again.
fn add_answers<T>(
    known: &mut BTreeMap<String, Option<T>>,
    names: BTreeSet<String>,
    mut answers: BTreeMap<String, T>,
) {
    for name in names {
        let answer = answers.remove(&name);
        known.insert(name, answer);
    }
}

/// The last part of a task's ARN.
pub fn task_id(arn: &TaskArn) -> &str {
    arn.as_str().rsplit('/').next().unwrap_or_default()
}

/// Adds the tasks of the inspected instances.
fn add_tasks(
    inventory: &mut Inventory,
    inspected: &BTreeSet<usize>,
    services: &[ServiceDescription],
    tasks: &[PlacedTask],
    protected: &BTreeSet<TaskArn>,
) {
    let indices: BTreeMap<_, _> = inventory
        .services
        .iter()
        .enumerate()
        .map(|(index, service)| (service.name.clone(), index))
        .collect();
    let daemons: BTreeSet<_> = services
        .iter()
        .filter(|service| service.daemon)
        .map(|service| service.name.as_str())
        .collect();
    let mut by_instance = BTreeMap::<&ContainerInstanceArn, Vec<Task>>::new();
    for task in tasks {
        let kind = match &task.service {
            Some(name) if daemons.contains(name.as_str()) => TaskKind::Daemon,
            // Daemon tasks are told apart before this: they leave with their instance, stopping or
            // not.
            _ if task.told_to_stop => TaskKind::Stopping,
            Some(name) => indices
                .get(name)
                .map_or(TaskKind::UnknownService, |&index| TaskKind::Service(index)),
            None => TaskKind::Standalone,
        };
        let id = task_id(&task.arn).to_owned();
        by_instance.entry(&task.container_instance).or_default().push(Task {
            id,
            kind,
            protected: protected.contains(&task.arn),
        });
    }
    for &index in inspected {
        let instance = &mut inventory.instances[index];
        instance.tasks = Some(by_instance.remove(&instance.arn).unwrap_or_default());
    }
}
