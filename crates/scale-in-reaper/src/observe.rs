//! How a sweep looks at a cluster: instances, groups and services as a whole, tasks of few instances only.

use std::collections::{BTreeMap, BTreeSet};

use ebb_aws::{AwsError, GroupDescription, PlacedTask, Problem};
use ebb_core::ecs::ContainerInstanceStatus;
use ebb_core::ids::{Cluster, ContainerInstanceArn, GroupName, InstanceId, TaskArn};
use ebb_core::reaper::follow_up::PlacementFailure;
use ebb_core::reaper::reading::reads_max;
use ebb_core::reaper::services::{ServiceDescription, TaskRequirements};
use ebb_planner::{Group, Inventory, Service, Task, TaskKind, worth_reading};
use futures_util::{StreamExt, TryStreamExt, stream};

use crate::Sweep;

/// How many task definitions are asked for at once. The pace bounds how fast the calls follow each other.
const CONCURRENT_READS_MAX: usize = 8;

/// What Auto Scaling and the capacity providers say, for all clusters.
pub(crate) struct Account {
    groups: Vec<GroupDescription>,
}

impl Account {
    /// The instances that their groups say are in service.
    pub(crate) fn members(&self) -> Vec<(InstanceId, GroupName)> {
        let members = self
            .groups
            .iter()
            .flat_map(|seen| seen.members.iter().map(|member| (member, &seen.name)));
        let in_service = members.filter(|(member, _)| member.lifecycle_state == "InService");
        in_service.map(|(member, group)| (member.instance_id.clone(), group.clone())).collect()
    }
}

/// Which instances' tasks are read, beside those of the draining ones.
pub(crate) enum Candidates<'a> {
    /// Those that could go, the emptiest first, up to a bound.
    WorthReading,
    /// These only.
    These(&'a BTreeSet<InstanceId>),
}

/// A cluster as it was seen.
pub(crate) struct Observed {
    pub(crate) inventory: Inventory,
    pub(crate) unplaced: Vec<PlacementFailure>,
}

impl Sweep<'_> {
    /// Reads the groups, and which of them a capacity provider scales.
    pub(crate) async fn account(&self) -> Result<Account, Problem> {
        let read = async {
            let managed = self.clients().ecs.managed_groups().await?;
            let mut groups = self.clients().auto_scaling.groups().await?;
            for seen in &mut groups {
                // A group that was deleted and made anew has the same name and another ARN.
                seen.group.managed_scaling = managed.iter().any(|arn| arn_names(arn, &seen.name));
            }
            Ok(Account { groups })
        };
        read.await.map_err(|error: AwsError| Problem::from(error))
    }

    /// Looks at a cluster.
    pub(crate) async fn observe(
        &self,
        cluster: &Cluster,
        account: &Account,
        candidates: Candidates<'_>,
    ) -> Result<Observed, AwsError> {
        let ecs = &self.paced_ecs;
        let instances = ecs.container_instances(cluster).await?;
        let mut inventory = Inventory {
            cluster: cluster.clone(),
            instances,
            groups: BTreeMap::new(),
            services: Vec::new(),
        };
        self.add_groups(&mut inventory, account).await?;
        let seen = ecs.all_services(cluster).await?;
        let chosen = self.choose(&inventory, candidates);
        let arns: Vec<_> =
            chosen.iter().map(|&index| inventory.instances[index].arn.clone()).collect();
        let tasks = ecs.tasks_on_all(cluster, &arns).await?;

        let relevant = self.add_services(&mut inventory, &seen, &tasks).await?;
        let protected = self.protected(&inventory, &relevant, &tasks).await?;
        add_tasks(&mut inventory, &chosen, &seen, &tasks, &protected);
        self.add_distinct(&mut inventory, &tasks).await?;
        let unplaced = relevant
            .iter()
            .zip(&inventory.services)
            .filter_map(|(seen, service)| seen.unplaced(service));
        Ok(Observed { unplaced: unplaced.collect(), inventory })
    }

    /// Joins the instances with their groups, and with their prices.
    async fn add_groups(
        &self,
        inventory: &mut Inventory,
        account: &Account,
    ) -> Result<(), AwsError> {
        let mut members = BTreeMap::new();
        for seen in &account.groups {
            members.extend(seen.members.iter().map(|member| (&member.instance_id, (seen, member))));
        }
        for instance in &mut inventory.instances {
            if let Some((seen, member)) = members.get(&instance.instance_id) {
                instance.group = Some(seen.name.clone());
                instance.lifecycle_state.clone_from(&member.lifecycle_state);
                instance.protected_from_scale_in = member.protected_from_scale_in;
                instance.weight = member.weight;
                instance.zone.clone_from(&member.zone);
                instance.instance_type.clone_from(&member.instance_type);
                inventory.groups.entry(seen.name.clone()).or_insert_with(|| seen.group.clone());
            }
            instance.price_microusd =
                self.reaper.settings.instance_prices.get(&instance.instance_type).copied();
        }
        for (name, group) in &mut inventory.groups {
            if self.may_shrink(name, group) {
                let refresh = self.clients().auto_scaling.instance_refresh(name).await?;
                group.unavailable =
                    refresh.map(|status| format!("an instance refresh is {status}"));
            }
        }
        Ok(())
    }

    /// Whether a group would be shrunk unless it is being refreshed: only then it is worth asking.
    fn may_shrink(&self, name: &GroupName, group: &Group) -> bool {
        let allowed = self.policy.groups.as_ref().is_none_or(|groups| groups.contains(name));
        let ours = !group.managed_scaling || self.policy.allow_managed_scaling;
        allowed && ours && group.unavailable.is_none() && group.desired_capacity > group.min_size
    }

    /// The instances whose tasks are read, by index: what drains is on its way, what could go must be known.
    fn choose(&self, inventory: &Inventory, candidates: Candidates<'_>) -> BTreeSet<usize> {
        let indices = |keep: &dyn Fn(usize) -> bool| {
            (0..inventory.instances.len()).filter(|&index| keep(index)).collect()
        };
        let mut chosen: BTreeSet<_> = indices(&|index| {
            inventory.instances[index].status == ContainerInstanceStatus::Draining
        });
        match candidates {
            Candidates::WorthReading => {
                let worth = worth_reading(inventory, &self.policy, self.clock.now());
                chosen.extend(worth.into_iter().take(reads_max(inventory, &self.policy)));
            }
            Candidates::These(ids) => {
                let these: BTreeSet<_> =
                    indices(&|index| ids.contains(&inventory.instances[index].instance_id));
                chosen.extend(these);
            }
        }
        chosen
    }

    /// Adds the replica services that matter: those of the tasks that were read, and those with tasks on their way.
    /// Returns them as they were seen, in the order in which they were added.
    async fn add_services<'s>(
        &self,
        inventory: &mut Inventory,
        seen: &'s [ServiceDescription],
        tasks: &[PlacedTask],
    ) -> Result<Vec<&'s ServiceDescription>, AwsError> {
        let status: BTreeMap<_, _> =
            inventory.instances.iter().map(|one| (&one.arn, &one.status)).collect();
        let (mut here, mut on_draining) = (BTreeSet::new(), BTreeMap::<_, u64>::new());
        for task in tasks {
            let Some(service) = &task.service else { continue };
            here.insert(service);
            let draining =
                status.get(&task.container_instance) == Some(&&ContainerInstanceStatus::Draining);
            *on_draining.entry(service).or_default() += u64::from(draining && !task.told_to_stop);
        }
        let leaving = |one: &ServiceDescription| on_draining.get(&one.name).copied().unwrap_or(0);
        let matters = |one: &&ServiceDescription| {
            !one.daemon
                && !one.elsewhere
                && (here.contains(&one.name) || one.in_flight(leaving(one)) > 0)
        };
        let relevant: Vec<_> = seen.iter().filter(matters).collect();
        let definitions = self.definitions(&relevant).await?;
        let service = |one: &&ServiceDescription| -> Service {
            let definitions: Vec<_> =
                one.definitions.iter().filter_map(|arn| definitions.get(arn)).collect();
            one.service(&definitions, leaving(one))
        };
        inventory.services = relevant.iter().map(service).collect();
        Ok(relevant)
    }

    /// The task definitions of these services; each is read once a sweep.
    async fn definitions(
        &self,
        services: &[&ServiceDescription],
    ) -> Result<BTreeMap<String, TaskRequirements>, AwsError> {
        let mut known = self.definitions.lock().await;
        let wanted: BTreeSet<_> = services.iter().flat_map(|one| &one.definitions).collect();
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
    async fn protected(
        &self,
        inventory: &Inventory,
        relevant: &[&ServiceDescription],
        tasks: &[PlacedTask],
    ) -> Result<BTreeSet<TaskArn>, AwsError> {
        let names: BTreeSet<_> = relevant.iter().map(|one| one.name.as_str()).collect();
        let of_replicas =
            |task: &&PlacedTask| task.service.as_deref().is_some_and(|name| names.contains(name));
        let asked: Vec<_> = tasks
            .iter()
            .filter(of_replicas)
            .filter(|task| !task.told_to_stop)
            .map(|task| task.arn.clone())
            .collect();
        self.clients().ecs.protected_tasks(&inventory.cluster, &asked).await
    }

    /// Finds out where services that allow one task an instance have theirs, if tasks of them are to be placed.
    async fn add_distinct(
        &self,
        inventory: &mut Inventory,
        tasks: &[PlacedTask],
    ) -> Result<(), AwsError> {
        let here: BTreeSet<_> = tasks.iter().filter_map(|task| task.service.as_deref()).collect();
        let distinct = inventory.services.iter().enumerate();
        let distinct = distinct.filter(|(_, one)| one.distinct_instance);
        let distinct =
            distinct.filter(|(_, one)| one.in_flight > 0 || here.contains(one.name.as_str()));
        let distinct: Vec<_> = distinct.map(|(index, one)| (index, one.name.clone())).collect();
        for (index, name) in distinct {
            let tasks = self.paced_ecs.tasks_of_service(&inventory.cluster, &name).await?;
            let on: BTreeSet<_> = tasks.iter().map(|task| &task.container_instance).collect();
            for instance in inventory.instances.iter_mut().filter(|one| on.contains(&one.arn)) {
                instance.distinct_services.insert(index);
            }
        }
        Ok(())
    }
}

/// Whether the ARN of a group, or its name, names this group.
fn arn_names(arn: &str, group: &GroupName) -> bool {
    arn.rsplit_once("autoScalingGroupName/").map_or(arn, |(_, name)| name) == group.as_str()
}

fn add_tasks(
    inventory: &mut Inventory,
    chosen: &BTreeSet<usize>,
    seen: &[ServiceDescription],
    tasks: &[PlacedTask],
    protected: &BTreeSet<TaskArn>,
) {
    let services: BTreeMap<_, _> = inventory
        .services
        .iter()
        .enumerate()
        .map(|(index, one)| (one.name.clone(), index))
        .collect();
    let daemons: BTreeSet<_> =
        seen.iter().filter(|one| one.daemon).map(|one| one.name.as_str()).collect();
    let mut on = BTreeMap::<&ContainerInstanceArn, Vec<Task>>::new();
    for task in tasks {
        let kind = match &task.service {
            Some(name) if daemons.contains(name.as_str()) => TaskKind::Daemon,
            _ if task.told_to_stop => TaskKind::Stopping,
            Some(name) => services
                .get(name)
                .map_or(TaskKind::UnknownService, |&index| TaskKind::Service(index)),
            None => TaskKind::Standalone,
        };
        let id = task.arn.as_str().rsplit('/').next().unwrap_or_default().to_owned();
        let task_here = Task { id, kind, protected: protected.contains(&task.arn) };
        on.entry(&task.container_instance).or_default().push(task_here);
    }
    for &index in chosen {
        let instance = &mut inventory.instances[index];
        instance.tasks = Some(on.remove(&instance.arn).unwrap_or_default());
    }
}
