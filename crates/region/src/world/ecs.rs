//! ECS: clusters, container instances and services, and what the API can do to container instances.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use super::task::{Status as TaskStatus, Task, TaskSpec};
use super::{ACCOUNT, Due, Happening, REGION, World};

/// An ECS cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cluster {
    /// Container instances by id.
    pub instances: BTreeMap<String, ContainerInstance>,
    /// Services by name.
    pub services: BTreeMap<String, Service>,
    /// Tasks by id, stopped ones included.
    pub tasks: BTreeMap<String, Task>,
}

/// A container instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerInstance {
    /// The last part of its ARN.
    pub id: String,
    /// The EC2 instance below it.
    pub instance_id: String,
    /// Its Availability Zone.
    pub zone: String,
    /// Its instance type.
    pub instance_type: String,
    /// Its status.
    pub status: Status,
    /// Whether its agent is connected.
    pub agent_connected: bool,
    /// CPU units that it registered.
    pub cpu: i64,
    /// Memory that it registered, in MiB.
    pub memory_mib: i64,
    /// Attributes beside the built-in ones.
    pub attributes: BTreeMap<String, String>,
    /// When it registered.
    pub registered_at: Timestamp,
}

/// The status of a container instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    Registering,
    Active,
    Draining,
    Deregistering,
    Inactive,
}

impl Status {
    /// AWS's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Registering => "REGISTERING",
            Self::Active => "ACTIVE",
            Self::Draining => "DRAINING",
            Self::Deregistering => "DEREGISTERING",
            Self::Inactive => "INACTIVE",
        }
    }
}

/// A service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// How its tasks are spread.
    pub kind: ServiceKind,
    /// What its tasks need.
    pub spec: TaskSpec,
    /// Whether its scheduler is to look at it soon already.
    pub(super) looks_soon: bool,
    /// How many tasks it has started, to number them.
    pub(super) started: u32,
}

/// How a service's tasks are spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServiceKind {
    /// A number of tasks.
    Replica {
        /// How many.
        desired: usize,
        /// `minimumHealthyPercent`.
        min_percent: usize,
        /// `maximumPercent`.
        max_percent: usize,
    },
    /// One task on each container instance.
    Daemon,
}

impl ServiceKind {
    /// A replica service with ECS's defaults: 100 % at least, 200 % at most.
    pub const fn replica(desired: usize) -> Self {
        Self::Replica { desired, min_percent: 100, max_percent: 200 }
    }
}

impl ContainerInstance {
    /// Its ARN in a cluster.
    pub fn arn(&self, cluster: &str) -> String {
        arn(&format!("container-instance/{cluster}/{}", self.id))
    }
}

impl Cluster {
    /// The container instance on an EC2 instance that is still registered. A cluster may remember others that left.
    pub fn on(&self, instance_id: &str) -> Option<&ContainerInstance> {
        self.instances.values().find(|one| one.instance_id == instance_id && one.status != Status::Inactive)
    }

    /// The tasks on a container instance that have not stopped.
    pub fn tasks_on<'a>(&'a self, container_instance: &'a str) -> impl Iterator<Item = &'a Task> {
        let here = move |task: &&Task| task.container_instance == container_instance;
        self.tasks.values().filter(here).filter(|task| task.status != TaskStatus::Stopped)
    }

    fn tasks_cut_off(&self) -> Vec<&Task> {
        self.tasks.values().filter(|task| task.cut_off && !self.is_daemon(task)).collect()
    }

    /// Whether a task belongs to a daemon service.
    pub fn is_daemon(&self, task: &Task) -> bool {
        let service = task.service.as_ref().and_then(|name| self.services.get(name));
        service.is_some_and(|service| service.kind == ServiceKind::Daemon)
    }

    /// CPU units and memory (MiB) that no task holds. A task that is stopping still holds its own.
    pub fn remaining(&self, instance: &ContainerInstance) -> (i64, i64) {
        let held = self
            .tasks_on(&instance.id)
            .fold((0, 0), |(cpu, memory), task| (cpu + task.spec.cpu, memory + task.spec.memory_mib));
        (instance.cpu - held.0, instance.memory_mib - held.1)
    }
}

/// The ARN of an ECS resource.
pub fn arn(resource: &str) -> String {
    format!("arn:aws:ecs:{REGION}:{ACCOUNT}:{resource}")
}

/// An instance to put into the world, with defaults: an `m7g.large` that has been ACTIVE for an hour.
#[derive(Debug, Clone)]
pub struct NewInstance {
    instance_id: String,
    zone: String,
    status: Status,
    age: Duration,
}

impl NewInstance {
    /// An instance in the first zone.
    pub fn new(instance_id: impl Into<String>) -> Self {
        Self {
            instance_id: instance_id.into(),
            zone: format!("{REGION}a"),
            status: Status::Active,
            age: Duration::from_secs(3600),
        }
    }

    /// Puts it into another zone.
    #[must_use]
    pub fn zone(mut self, zone: impl Into<String>) -> Self {
        self.zone = zone.into();
        self
    }

    /// Lets it have registered this long ago.
    #[must_use]
    pub fn age(mut self, age: Duration) -> Self {
        self.age = age;
        self
    }

    /// Gives it another status.
    #[must_use]
    pub fn status(mut self, status: Status) -> Self {
        self.status = status;
        self
    }
}

impl World {
    /// Adds a cluster.
    pub fn add_cluster(&mut self, name: &str) {
        self.clusters.entry(name.to_owned()).or_default();
    }

    /// Adds a container instance to a cluster, and returns its ARN.
    pub fn add_instance(&mut self, cluster: &str, new: NewInstance) -> String {
        let instance = ContainerInstance {
            id: self.hex_id(),
            instance_id: new.instance_id,
            zone: new.zone,
            instance_type: "m7g.large".to_owned(),
            status: new.status,
            agent_connected: true,
            cpu: 2048,
            memory_mib: 7680,
            attributes: BTreeMap::new(),
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
        let service = Service { kind, spec, looks_soon: false, started: 0 };
        self.add_cluster(cluster);
        if let Some(cluster) = self.clusters.get_mut(cluster) {
            cluster.services.insert(name.to_owned(), service);
        }
        self.start_settled(cluster, name);
    }

    /// The container instance on an EC2 instance, in whichever cluster has it.
    pub fn container_instance(&self, instance_id: &str) -> Option<(&str, &ContainerInstance)> {
        self.clusters.iter().find_map(|(name, cluster)| Some((name.as_str(), cluster.on(instance_id)?)))
    }

    /// The status of the container instance on an EC2 instance; `None` if no cluster has one.
    pub fn status_of(&self, instance_id: &str) -> Option<Status> {
        self.container_instance(instance_id).map(|(_, instance)| instance.status)
    }

    /// The EC2 instances whose container instances have this status.
    pub fn instances_with(&self, status: Status) -> Vec<&str> {
        let instances = self.clusters.values().flat_map(|cluster| cluster.instances.values());
        let mut ids: Vec<_> =
            instances.filter(|one| one.status == status).map(|one| one.instance_id.as_str()).collect();
        ids.sort_unstable();
        ids
    }

    /// The tasks that were still executing when their instance was taken away, but for those of daemon services: they
    /// stop last and are waited for by nobody.
    pub fn tasks_cut_off(&self) -> Vec<&Task> {
        self.clusters.values().flat_map(Cluster::tasks_cut_off).collect()
    }

    /// Gives a container instance another status. The services look at what that means for their tasks.
    pub fn set_status(&mut self, cluster: &str, container_instance: &str, status: Status) {
        let instance =
            self.clusters.get_mut(cluster).and_then(|one| one.instances.get_mut(container_instance));
        let Some(instance) = instance.filter(|instance| instance.status != status) else { return };
        instance.status = status;
        let instance_id = instance.instance_id.clone();
        self.record(Happening::ContainerInstance { instance_id, status });
        self.reconcile_soon(cluster);
    }

    /// Lets every scheduler of a cluster look at its service within the next seconds.
    pub(super) fn reconcile_soon(&mut self, cluster: &str) {
        let Some(services) = self.clusters.get_mut(cluster).map(|cluster| &mut cluster.services) else {
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
