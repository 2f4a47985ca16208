//! What changes services: new ones, and the load that they have.

use std::collections::BTreeMap;
use std::time::Duration;

use super::capacity_provider_strategy::{Capacity, StrategyItem};
use super::cluster::Cluster;
use super::cluster_query::Expression;
use super::placement_rules::Placement;
use super::service::{Deployments, Service, ServiceKind};
use super::task_spec::{Network, TaskSpec};
use crate::world::agenda::Due;
use crate::world::state::World;

impl World {
    /// Adds a service whose tasks are RUNNING and healthy already, as far as there is room.
    pub fn add_service(&mut self, cluster: &str, name: &str, kind: ServiceKind, spec: TaskSpec) {
        self.add_placed_service(cluster, name, kind, spec, Placement::default());
    }

    /// Adds a service whose tasks go where `placement` says; they are RUNNING and healthy already,
    /// as far as there is room.
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
        let needs_subnets = spec.network == Network::Awsvpc && placement.subnets.is_empty();
        let placement = if needs_subnets { placement.with_every_zone() } else { placement };
        let service = Service {
            kind,
            spec,
            placement,
            capacity: Capacity::Ec2,
            zone_rebalancing: false,
            target_groups: Vec::new(),
            deployments: Deployments::Completed,
            deployment_strategy: "ROLLING",
            tags: BTreeMap::new(),
            created_at: self.now,
            reconcile_planned: false,
            started: 0,
        };
        self.add_cluster(cluster);
        if let Some(cluster) = self.clusters.get_mut(cluster) {
            cluster.services.insert(name.to_owned(), service);
        }
        self.start_running_tasks(cluster, name);
    }

    /// Gives a service a capacity provider strategy, as if it had been created with it: each of its
    /// tasks was placed by the provider of its container instance.
    pub fn set_strategy(
        &mut self,
        cluster: &str,
        service: &str,
        strategy: impl IntoIterator<Item = StrategyItem>,
    ) {
        let Some(changed) = self.clusters.get_mut(cluster) else { return };
        let Cluster { services, tasks, instances, .. } = changed;
        let Some(changed) = services.get_mut(service) else { return };
        changed.capacity = Capacity::Strategy(strategy.into_iter().collect());
        for task in tasks.values_mut() {
            if task.service.as_deref() == Some(service) {
                let instance = instances.get(&task.container_instance);
                task.capacity_provider =
                    instance.and_then(|instance| instance.capacity_provider.clone());
            }
        }
        self.reconcile_soon(cluster);
    }

    /// Changes how many tasks a replica service wants: its load has changed. A daemon service is
    /// left as it is.
    pub fn set_desired_count(&mut self, cluster: &str, service: &str, count: usize) {
        let kind = self.clusters.get(cluster).and_then(|cluster| cluster.services.get(service));
        if let Some(ServiceKind::Replica { min_percent, max_percent, .. }) =
            kind.map(|service| service.kind)
        {
            let kind = ServiceKind::Replica { desired: count, min_percent, max_percent };
            self.set_service_kind(cluster, service, kind);
        }
    }

    /// Changes how a service's tasks are spread: how many it wants, or within which percentages.
    pub fn set_service_kind(&mut self, cluster: &str, service: &str, kind: ServiceKind) {
        let service =
            self.clusters.get_mut(cluster).and_then(|cluster| cluster.services.get_mut(service));
        if let Some(service) = service {
            service.kind = kind;
            self.reconcile_soon(cluster);
        }
    }

    /// Lets every scheduler of a cluster look at its service within the next seconds.
    pub(in crate::world) fn reconcile_soon(&mut self, cluster: &str) {
        let Some(services) = self.clusters.get_mut(cluster).map(|cluster| &mut cluster.services)
        else {
            return;
        };
        let mut names = Vec::new();
        // Several changes within seconds are answered by one look, which sees them all.
        for (name, service) in services.iter_mut().filter(|(_, service)| !service.reconcile_planned)
        {
            service.reconcile_planned = true;
            names.push(name.clone());
        }
        // Each scheduler looks at a moment of its own, as nothing says that those of different
        // services act in step.
        for service in names {
            let after = self.random_duration(Duration::from_secs(1), Duration::from_secs(4));
            self.plan(after, Due::Reconcile { cluster: cluster.to_owned(), service });
        }
    }
}
