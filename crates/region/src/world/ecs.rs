//! ECS: clusters, container instances and services, and what the API can do to container instances.

mod capacity;
mod instance;
mod room;
mod service;

use std::collections::BTreeMap;
use std::time::Duration;

pub use self::capacity::CapacityProvider;
pub use self::instance::{ContainerInstance, Machine, NewInstance, Status};
pub use self::room::{Held, Lack, RESERVED_PORTS};
pub use self::service::{Constraint, Placement, Service, ServiceKind, Strategy};
use super::placement::tasks_of;
use super::query::Expression;
use super::task::{Status as TaskStatus, Task, TaskSpec};
use super::{ACCOUNT, Due, Happening, REGION, World};

/// The version of every agent.
pub const AGENT_VERSION: &str = "1.98.0";

/// An ECS cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cluster {
    /// Container instances by id.
    pub instances: BTreeMap<String, ContainerInstance>,
    /// Services by name.
    pub services: BTreeMap<String, Service>,
    /// Tasks by id, stopped ones included.
    pub tasks: BTreeMap<String, Task>,
    /// The names of its capacity providers.
    pub capacity_providers: Vec<String>,
}

impl Cluster {
    /// The container instance on an EC2 instance that is still registered. A cluster may remember others that left.
    pub fn on(&self, instance_id: &str) -> Option<&ContainerInstance> {
        self.instances
            .values()
            .find(|one| one.instance_id == instance_id && one.status != Status::Inactive)
    }

    /// The tasks on a container instance that have not stopped.
    pub fn tasks_on<'a>(&'a self, container_instance: &'a str) -> impl Iterator<Item = &'a Task> {
        let here = move |task: &&Task| task.container_instance == container_instance;
        self.tasks.values().filter(here).filter(|task| task.status != TaskStatus::Stopped)
    }

    fn tasks_cut_off(&self) -> Vec<&Task> {
        self.tasks.values().filter(|task| task.cut_off && !self.is_daemon(task)).collect()
    }

    fn missing_tasks(&self) -> Vec<(&str, usize)> {
        let runs = |task: &&Task| task.is_wanted() && task.status == TaskStatus::Running;
        let missing = |(name, service): (&String, &Service)| match service.kind {
            ServiceKind::Replica { desired, .. } => {
                desired.saturating_sub(tasks_of(self, name).filter(runs).count())
            }
            ServiceKind::Daemon => 0,
        };
        let services =
            self.services.iter().map(|(name, service)| (name.as_str(), missing((name, service))));
        services.filter(|&(_, missing)| missing > 0).collect()
    }

    /// Whether an attribute may let a task of a service go somewhere.
    fn has_constraints(&self) -> bool {
        self.services
            .values()
            .any(|service| service.placement.expressions(&service.spec).next().is_some())
    }

    /// Whether a task belongs to a daemon service.
    pub fn is_daemon(&self, task: &Task) -> bool {
        let service = task.service.as_ref().and_then(|name| self.services.get(name));
        service.is_some_and(|service| service.kind == ServiceKind::Daemon)
    }

    /// The values that a subject of the cluster query language has for a container instance.
    pub fn subject(&self, instance: &ContainerInstance, subject: &str) -> Vec<String> {
        if let Some(name) = subject.strip_prefix("attribute:") {
            return instance.attribute(name).map(str::to_owned).into_iter().collect();
        }
        match subject {
            "agentConnected" => vec![instance.agent_connected.to_string()],
            "agentVersion" => vec![AGENT_VERSION.to_owned()],
            "ec2InstanceId" => vec![instance.instance_id.clone()],
            "registeredAt" => vec![instance.registered_at.to_string()],
            "runningTasksCount" => {
                let running = |task: &&Task| task.is_wanted() && task.status >= TaskStatus::Running;
                vec![self.tasks_on(&instance.id).filter(running).count().to_string()]
            }
            "task:group" => self.tasks_on(&instance.id).map(Task::group).collect(),
            _ => Vec::new(),
        }
    }
}

/// The ARN of an ECS resource.
pub fn arn(resource: &str) -> String {
    format!("arn:aws:ecs:{REGION}:{ACCOUNT}:{resource}")
}

impl World {
    /// Adds a cluster.
    pub fn add_cluster(&mut self, name: &str) {
        self.clusters.entry(name.to_owned()).or_default();
    }

    /// Adds a container instance to a cluster, and returns its ARN.
    pub fn add_instance(&mut self, cluster: &str, new: NewInstance) -> String {
        let capacity_provider = self.capacity_provider_of(&new.instance_id);
        let mut attributes = new.machine.attributes.clone();
        attributes.extend(new.attributes);
        let instance = ContainerInstance {
            id: self.hex_id(),
            instance_id: new.instance_id,
            zone: new.zone,
            status: new.status,
            agent_connected: new.agent_connected,
            machine: new.machine,
            attributes,
            capacity_provider,
            version: 1,
            registered_at: self.now - new.age,
        };
        let arn = instance.arn(cluster);
        self.terminated.remove(&instance.instance_id);
        self.add_cluster(cluster);
        if let Some(cluster) = self.clusters.get_mut(cluster) {
            cluster.instances.insert(instance.id.clone(), instance);
        }
        self.reconcile_soon(cluster);
        arn
    }

    /// Adds a service whose tasks are RUNNING and healthy already, as far as there is room.
    pub fn add_service(&mut self, cluster: &str, name: &str, kind: ServiceKind, spec: TaskSpec) {
        self.add_placed_service(cluster, name, kind, spec, Placement::default());
    }

    /// Adds a service whose tasks go where `placement` says; they are RUNNING and healthy already, as far as there is
    /// room.
    ///
    /// # Panics
    /// If a constraint is not an expression of the cluster query language.
    pub fn add_placed_service(
        &mut self,
        cluster: &str,
        name: &str,
        kind: ServiceKind,
        spec: TaskSpec,
        placement: Placement,
    ) {
        for expression in placement.expressions(&spec) {
            assert!(Expression::parse(expression).is_some(), "{expression} must be an expression");
        }
        let service = Service {
            kind,
            spec,
            placement,
            zone_rebalancing: false,
            deploys: false,
            created_at: self.now,
            looks_soon: false,
            started: 0,
        };
        self.add_cluster(cluster);
        if let Some(cluster) = self.clusters.get_mut(cluster) {
            cluster.services.insert(name.to_owned(), service);
        }
        self.start_settled(cluster, name);
    }

    /// Changes how many tasks a replica service wants: its load has changed. A daemon service is left as it is.
    pub fn set_desired_count(&mut self, cluster: &str, service: &str, count: usize) {
        let found =
            self.clusters.get_mut(cluster).and_then(|cluster| cluster.services.get_mut(service));
        if let Some(ServiceKind::Replica { desired, .. }) = found.map(|service| &mut service.kind) {
            *desired = count;
            self.reconcile_soon(cluster);
        }
    }

    /// The container instance on an EC2 instance, in whichever cluster has it.
    pub fn container_instance(&self, instance_id: &str) -> Option<(&str, &ContainerInstance)> {
        self.clusters
            .iter()
            .find_map(|(name, cluster)| Some((name.as_str(), cluster.on(instance_id)?)))
    }

    /// The status of the container instance on an EC2 instance; `None` if no cluster has one.
    pub fn status_of(&self, instance_id: &str) -> Option<Status> {
        self.container_instance(instance_id).map(|(_, instance)| instance.status)
    }

    /// The EC2 instances whose container instances have this status.
    pub fn instances_with(&self, status: Status) -> Vec<&str> {
        let instances = self.clusters.values().flat_map(|cluster| cluster.instances.values());
        let mut ids: Vec<_> = instances
            .filter(|one| one.status == status)
            .map(|one| one.instance_id.as_str())
            .collect();
        ids.sort_unstable();
        ids
    }

    /// The tasks that were still executing when their instance was taken away, but for those of daemon services: they
    /// stop last and are waited for by nobody.
    pub fn tasks_cut_off(&self) -> Vec<&Task> {
        self.clusters.values().flat_map(Cluster::tasks_cut_off).collect()
    }

    /// The replica services that have fewer RUNNING tasks than they want, with how many they miss. Those that are told
    /// to stop do not count.
    pub fn missing_tasks(&self) -> Vec<(&str, usize)> {
        self.clusters.values().flat_map(Cluster::missing_tasks).collect()
    }

    /// Gives a container instance another status. The services look at what that means for their tasks.
    pub fn set_status(&mut self, cluster: &str, container_instance: &str, status: Status) {
        let instance = self
            .clusters
            .get_mut(cluster)
            .and_then(|one| one.instances.get_mut(container_instance));
        let Some(instance) = instance.filter(|instance| instance.status != status) else { return };
        instance.status = status;
        instance.version += 1;
        let instance_id = instance.instance_id.clone();
        self.record(Happening::ContainerInstance { instance_id, status });
        self.reconcile_soon(cluster);
    }

    /// Puts a custom attribute onto a container instance.
    pub fn put_attribute(
        &mut self,
        cluster: &str,
        container_instance: &str,
        name: &str,
        value: &str,
    ) {
        self.change_attribute(cluster, container_instance, name, Some(value.to_owned()));
    }

    /// Deletes a custom attribute of a container instance, if it has it.
    pub fn delete_attribute(&mut self, cluster: &str, container_instance: &str, name: &str) {
        self.change_attribute(cluster, container_instance, name, None);
    }

    fn change_attribute(&mut self, cluster: &str, id: &str, name: &str, value: Option<String>) {
        let instance =
            self.clusters.get_mut(cluster).and_then(|cluster| cluster.instances.get_mut(id));
        let Some(instance) = instance else { return };
        let before = match value.clone() {
            Some(value) => instance.attributes.insert(name.to_owned(), value),
            None => instance.attributes.remove(name),
        };
        if before != value {
            let (instance_id, name) = (instance.instance_id.clone(), name.to_owned());
            self.record(Happening::Attribute { instance_id, name, value });
            if self.clusters[cluster].has_constraints() {
                self.reconcile_soon(cluster);
            }
        }
    }

    /// Lets every scheduler of a cluster look at its service within the next seconds.
    pub(super) fn reconcile_soon(&mut self, cluster: &str) {
        let Some(services) = self.clusters.get_mut(cluster).map(|cluster| &mut cluster.services)
        else {
            return;
        };
        let mut names = Vec::new();
        for (name, service) in services.iter_mut().filter(|(_, service)| !service.looks_soon) {
            service.looks_soon = true;
            names.push(name.clone());
        }
        for service in names {
            let after = self.between(Duration::from_secs(1), Duration::from_secs(4));
            self.plan(after, Due::Reconcile { cluster: cluster.to_owned(), service });
        }
    }
}
