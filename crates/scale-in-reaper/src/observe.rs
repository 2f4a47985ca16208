//! How a sweep observes a cluster: instances, groups and services as a whole, tasks of few
//! instances only. It decides nothing: what the facts come to is said in
//! `ebb_core::reaper::services`.

use std::collections::{BTreeMap, BTreeSet};

use ebb_aws::{AwsError, GroupDescription, PlacedTask, Problem};
use ebb_core::auto_scaling::LifecycleState;
use ebb_core::ecs::ContainerInstanceStatus;
use ebb_core::ids::{Cluster, ContainerInstanceArn, GroupName, InstanceId, TaskArn};
use ebb_core::prices::{PriceBasis, add_prices};
use ebb_core::reaper::capacity_providers::CapacityProviderStrategyItem;
use ebb_core::reaper::follow_up::PlacementFailure;
use ebb_core::reaper::managed_scaling::note_scale_out;
use ebb_core::reaper::network_interfaces::{InstanceTypeInterfaces, add_network_interfaces};
use ebb_core::reaper::owners::{is_managed_instance, owner};
use ebb_core::reaper::reading::candidates_to_read;
use ebb_core::reaper::replace::members::{GroupMember, GroupMembers};
use ebb_core::reaper::replace::outdated::{Evidence, TemplatesOf};
use ebb_core::reaper::services::{ServiceDescription, TaskRequirements};
use ebb_core::reaper::subnets::{SubnetZones, confine_to_subnets};
use ebb_core::reaper::tags::{hold_until, is_kept};
use ebb_core::reaper::termination::GroupZones;
use ebb_core::reaper::zone_rebalancing::tasks_to_rebalance;
use ebb_planner::{Group, Instance, Inventory, Task, TaskKind, group_may_shrink};
use futures_util::{StreamExt, TryStreamExt, stream};
use tracing::warn;

use crate::sweep::Sweep;

/// How many task definitions are asked for at once. The pace bounds how fast the calls follow each
/// other.
const CONCURRENT_READS_MAX: usize = 8;

/// The Auto Scaling groups of the Region, for all clusters.
#[derive(Debug)]
pub struct Groups(Vec<GroupDescription>);

impl Groups {
    /// The group with this name.
    pub(crate) fn named(&self, name: &GroupName) -> Option<&GroupDescription> {
        self.0.iter().find(|group| group.name == *name)
    }

    /// How many instances the groups have in service, by zone.
    pub(crate) fn zones(&self) -> GroupZones {
        let mut zones = GroupZones::default();
        for group in &self.0 {
            group.zones.iter().for_each(|zone| zones.add(&group.name, zone, 0));
            for member in &group.members {
                let in_service = member.lifecycle_state == LifecycleState::InService;
                zones.add(&group.name, &member.zone, usize::from(in_service));
            }
        }
        zones
    }

    /// The groups that a cluster's instances are in.
    pub(crate) fn of(&self, inventory: &Inventory) -> impl Iterator<Item = &GroupDescription> {
        self.0.iter().filter(|group| inventory.groups.contains_key(&group.name))
    }

    /// The launch templates of the members of these groups, where a group has one.
    pub(crate) fn templates(
        &self,
        names: &BTreeSet<GroupName>,
    ) -> BTreeMap<InstanceId, TemplatesOf> {
        let groups = self.0.iter().filter(|group| names.contains(&group.name));
        let members =
            groups.flat_map(|group| group.members.iter().map(move |member| (group, member)));
        let templates = members.filter_map(|(group, member)| {
            let own = member.launch_template.clone();
            let group = group.template_for(&member.instance_type)?.clone();
            Some((member.instance_id.clone(), TemplatesOf { own, group }))
        });
        templates.collect()
    }

    /// What Auto Scaling says of the groups of a cluster beyond what a plan needs.
    pub(crate) fn members_of(&self, inventory: &Inventory) -> BTreeMap<GroupName, GroupMembers> {
        let groups = self.0.iter().filter(|group| inventory.groups.contains_key(&group.name));
        groups.map(|group| (group.name.clone(), members_of(group))).collect()
    }

    /// The instances that their groups say are in service, or retain: they are paid for.
    pub fn members_paid_for(&self) -> Vec<(InstanceId, GroupName)> {
        let members = self
            .0
            .iter()
            .flat_map(|group| group.members.iter().map(|member| (member, &group.name)));
        members
            .filter(|(member, _)| {
                [LifecycleState::InService, LifecycleState::TerminatingRetained]
                    .contains(&member.lifecycle_state)
            })
            .map(|(member, group)| (member.instance_id.clone(), group.clone()))
            .collect()
    }
}

/// Which instances' tasks are read, beside those of the draining ones.
pub(crate) enum Candidates<'a> {
    /// Those that could go, the emptiest first, up to a bound.
    ToInspect,
    /// Every one.
    All,
    /// Only the instances with these ids.
    Only(&'a BTreeSet<InstanceId>),
    /// Those that are to be replaced, the oldest first, up to a bound.
    ToReplace(&'a Evidence),
}

/// A cluster as it was observed.
#[derive(Debug)]
pub struct Observation {
    /// Its instances, groups, services and the tasks that were read.
    pub inventory: Inventory,
    /// The services that find no place for a task.
    pub unplaced: Vec<PlacementFailure>,
    /// The services whose deployment fails.
    pub failing: Vec<String>,
    /// The target groups of its services, by their ARNs.
    pub target_groups: BTreeSet<String>,
    /// What the instances' prices are based on.
    pub prices: PriceBasis,
}

impl Sweep<'_> {
    /// Reads the groups, and which of them a capacity provider scales.
    pub(crate) async fn observe_groups(&self) -> Result<Groups, AwsError> {
        // Whether ECS's managed scaling sizes a group stands with its capacity provider (ECS API,
        // `DescribeCapacityProviders`).
        let managed = self.clients.ecs.managed_groups().await?;
        let mut groups = self.clients.auto_scaling.groups().await?;
        for description in &mut groups {
            // A group that was deleted and made anew has the same name and another ARN.
            let scaling = managed.iter().find(|(arn, _)| arn_names(arn, &description.name));
            description.group.managed_scaling = scaling.map(|(_, scaling)| *scaling);
        }
        Ok(Groups(groups))
    }

    /// Observes a cluster: its instances and services as a whole, and the tasks of those instances
    /// that drain or may go.
    pub(crate) async fn observe(
        &self,
        cluster: &Cluster,
        groups: &Groups,
        candidates: Candidates<'_>,
    ) -> Result<Observation, AwsError> {
        let ecs = &self.paced_ecs;
        let instances = ecs.container_instances(cluster).await?;
        let mut inventory = Inventory {
            cluster: cluster.clone(),
            instances,
            groups: BTreeMap::new(),
            services: Vec::new(),
            hold_until: None,
        };
        self.add_groups(&mut inventory, groups).await?;
        let prices = self.add_prices(&mut inventory.instances).await;
        // For all that it is known, a cluster whose tags cannot be read is held.
        let description = ecs.cluster(cluster).await?;
        inventory.hold_until = hold_until(&description.tags).cloned();
        let services = self.services(cluster, &description.default_strategy).await?;
        let inspected = self.instances_to_inspect(&inventory, candidates);
        let arns: Vec<_> =
            inspected.iter().map(|&index| inventory.instances[index].arn.clone()).collect();
        let tasks = ecs.tasks_on_all(cluster, &arns).await?;

        let relevant = self.add_services(&mut inventory, &services, &tasks).await?;
        self.add_network_interfaces(&mut inventory).await;
        let protected = self.protected_tasks(&inventory, &relevant, &tasks).await?;
        add_tasks(&mut inventory, &inspected, &services, &tasks, &protected);
        self.add_distinct_services(&mut inventory, &tasks).await?;
        self.add_uneven_services(&mut inventory, &relevant).await?;
        let unplaced = relevant
            .iter()
            .zip(&inventory.services)
            .filter_map(|(description, service)| description.unplaced(service))
            .collect();
        let here = services.iter().filter(|service| !service.elsewhere);
        let failing = here.clone().filter(|service| service.deployment_fails);
        let failing = failing.map(|service| service.name.clone()).collect();
        let target_groups = here.flat_map(|service| service.target_groups.clone()).collect();
        Ok(Observation { inventory, unplaced, failing, target_groups, prices })
    }

    /// Every service of a cluster, with the strategy of the cluster where it names none.
    async fn services(
        &self,
        cluster: &Cluster,
        default_strategy: &[CapacityProviderStrategyItem],
    ) -> Result<Vec<ServiceDescription>, AwsError> {
        let mut services = self.paced_ecs.all_services(cluster).await?;
        for service in &mut services {
            service.apply_default_strategy(default_strategy);
        }
        Ok(services)
    }

    /// Joins the instances with their groups.
    async fn add_groups(&self, inventory: &mut Inventory, groups: &Groups) -> Result<(), AwsError> {
        let members: BTreeMap<_, _> = groups
            .0
            .iter()
            .flat_map(|group| group.members.iter().map(move |member| (group, member)))
            .map(|(group, member)| (&member.instance_id, (group, member)))
            .collect();
        for instance in &mut inventory.instances {
            if let Some((description, member)) = members.get(&instance.instance_id) {
                instance.group = Some(description.name.clone());
                instance.lifecycle_state = member.lifecycle_state.clone();
                instance.unhealthy = member.unhealthy;
                instance.protected_from_scale_in = member.protected_from_scale_in;
                instance.weight = member.weight;
                instance.zone.clone_from(&member.zone);
                instance.instance_type.clone_from(&member.instance_type);
                inventory
                    .groups
                    .entry(description.name.clone())
                    .or_insert_with(|| group_of(description, &inventory.cluster));
            }
            instance.ecs_managed = is_managed_instance(instance);
        }
        for description in &groups.0 {
            let Some(group) = inventory.groups.get_mut(&description.name) else { continue };
            let members = description.members.iter();
            let members = members.map(|member| (&member.lifecycle_state, member.weight));
            let of_group =
                |instance: &&Instance| instance.group.as_ref() == Some(&description.name);
            let registered = inventory.instances.iter().filter(of_group);
            let youngest = registered.filter_map(|instance| instance.registered_at).max();
            note_scale_out(group, members, youngest, self.clock.now());
        }
        self.keep_for_fallbacks(inventory, groups);
        // Instance refreshes can only be asked for group by group, so groups that would be kept
        // anyway are left out.
        for (name, group) in &mut inventory.groups {
            // A group that stays as it is need not be asked about: that would cost a call.
            if group_may_shrink(name, group, &self.policy) {
                let refresh = self.clients.auto_scaling.instance_refresh(name).await?;
                group.unavailable =
                    refresh.map(|status| format!("an instance refresh is {status}"));
            }
        }
        Ok(())
    }

    /// Gives the instances their prices. AWS is asked only about types whose price is not stated.
    async fn add_prices(&self, instances: &mut [Instance]) -> PriceBasis {
        let stated = &self.settings.instance_prices;
        let types = instances.iter().map(|instance| &instance.instance_type);
        let types = types.filter(|name| !name.is_empty() && !stated.contains_key(*name));
        let market = self.prices.read(&types.cloned().collect(), self.clock.now()).await;
        add_prices(instances, stated, self.clients.region(), &market)
    }

    /// The instances whose tasks are read, by index: the tasks of what drains are on their way, and
    /// those of what could go must be known.
    fn instances_to_inspect(
        &self,
        inventory: &Inventory,
        candidates: Candidates<'_>,
    ) -> BTreeSet<usize> {
        let mut indices =
            indices_of(inventory, |instance| instance.status == ContainerInstanceStatus::Draining);
        indices.extend(match candidates {
            Candidates::ToInspect => {
                let read = candidates_to_read(inventory, &self.policy, self.clock.now());
                read.into_iter().collect()
            }
            Candidates::All => indices_of(inventory, |_| true),
            Candidates::ToReplace(evidence) => evidence.to_read(inventory, self.clock.now()),
            Candidates::Only(ids) => {
                indices_of(inventory, |instance| ids.contains(&instance.instance_id))
            }
        });
        indices
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
            && self.policy.task_headroom.may_ask_for(&service.name)
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
            reads
                .push(async move { Ok((arn.clone(), self.paced_ecs.task_definition(arn).await?)) });
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
                    || self.policy.task_headroom.may_ask_for(&service.name)
            })
            .map(|(index, service)| (index, service.name.clone()))
            .collect();
        for (index, name) in distinct {
            let tasks = self.paced_ecs.tasks_of_service(&inventory.cluster, &name).await?;
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
                let tasks = self.paced_ecs.tasks_of_service(&inventory.cluster, name).await?;
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

/// The instances for which this is true, by index.
fn indices_of(inventory: &Inventory, is_chosen: impl Fn(&Instance) -> bool) -> BTreeSet<usize> {
    let instances = inventory.instances.iter().enumerate();
    instances.filter(|(_, instance)| is_chosen(instance)).map(|(index, _)| index).collect()
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

/// The group as the planner takes it, with what its tags say.
pub(crate) fn group_of(description: &GroupDescription, cluster: &Cluster) -> Group {
    let mut group = description.group.clone();
    group.owner = owner(cluster, &description.name, &description.tags).map(str::to_owned);
    group.tagged_keep = is_kept(&description.tags);
    group.hold_until = hold_until(&description.tags).cloned();
    group
}

/// What Auto Scaling says of a group beyond what a plan needs.
pub(crate) fn members_of(group: &GroupDescription) -> GroupMembers {
    let members = group.members.iter().map(|member| GroupMember {
        instance_id: member.instance_id.clone(),
        lifecycle_state: member.lifecycle_state.clone(),
        weight: member.weight,
        zone: member.zone.clone(),
        protected_from_scale_in: member.protected_from_scale_in,
    });
    let members = members.collect();
    GroupMembers { max_size: group.max_size, zones: group.zones.clone(), members }
}

/// Whether the ARN of a group, or its name, names this group.
fn arn_names(arn: &str, group: &GroupName) -> bool {
    arn.rsplit_once("autoScalingGroupName/").map_or(arn, |(_, name)| name) == group.as_str()
}

/// The last part of a task's ARN.
pub(crate) fn task_id(arn: &TaskArn) -> &str {
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
