//! Asks whether what EC2 recommends to rebalance may be drained before any interruption: reads its
//! cluster as a sweep does. What that comes to is decided by `ebb_core::spot::decide_early`.

use std::collections::{BTreeMap, BTreeSet};

use ebb_aws::{AwsError, Clock, Groups, Observer, Problem};
use ebb_core::ecs::ContainerInstance;
use ebb_core::ids::{Cluster, InstanceId};
use ebb_core::spot::{Decision, OutcomeKind, decide_early};
use ebb_planner::{Inventory, TaskHeadroom};
use tracing::info;

use crate::drainer::SpotDrainer;
use crate::item::Step;

/// A container instance that is to be drained, and why.
type ToDrain = (ContainerInstance, String);

impl SpotDrainer {
    /// Those of a cluster's container instances that may be drained, and what came of the others. A
    /// cluster that could not be read never counts as one without room.
    pub(crate) async fn with_room(
        &self,
        cluster: &Cluster,
        recommended: Vec<ToDrain>,
        clock: Clock,
    ) -> (Vec<ToDrain>, Vec<(ContainerInstance, Step)>) {
        let ids = recommended.iter().map(|(instance, _)| instance.instance_id.clone()).collect();
        // Boxed, as the SDK's futures are large and deeply nested.
        let decided = Box::pin(self.decide_by_room(cluster, &ids, clock)).await;
        let (mut with_room, mut others) = (Vec::new(), Vec::new());
        for (instance, reason) in recommended {
            let decision = decided.as_ref().map(|decided| decided.get(&instance.instance_id));
            let step = match decision {
                Ok(Some(Decision::Drain)) => {
                    with_room.push((instance, reason));
                    continue;
                }
                Ok(Some(Decision::Done { outcome, reason })) => {
                    if *outcome == OutcomeKind::NoRoom {
                        let id = &instance.instance_id;
                        info!(host.id = %id, ecs.cluster = cluster.name(), "Left {id}: {reason}");
                    }
                    Step::Settled(*outcome, reason.clone())
                }
                Ok(Some(Decision::LookAgain { why })) => Step::Failed(Problem::other(why)),
                Ok(Some(Decision::Reactivate | Decision::Unmark) | None) => {
                    Step::Failed(Problem::other("it was not decided whether it has room"))
                }
                Err(problem) => Step::Failed(problem.clone()),
            };
            others.push((instance, step));
        }
        (with_room, others)
    }

    async fn decide_by_room(
        &self,
        cluster: &Cluster,
        ids: &BTreeSet<InstanceId>,
        clock: Clock,
    ) -> Result<BTreeMap<InstanceId, Decision>, Problem> {
        let observe = async {
            let groups = Groups::from(self.clients.auto_scaling.groups().await?);
            let observer =
                Observer::new(&self.clients, self.paced_ecs.clone(), TaskHeadroom::default());
            let mut inventory = observer.instances(cluster, &groups, clock.now()).await?;
            let recommended = |inventory: &Inventory| {
                let instances = inventory.instances.iter().enumerate();
                let named = instances.filter(|(_, instance)| ids.contains(&instance.instance_id));
                named.map(|(index, _)| index).collect()
            };
            observer.add_services_and_tasks(&mut inventory, recommended).await?;
            Ok::<_, AwsError>(inventory)
        };
        let inventory = observe.await.map_err(Problem::from)?;
        Ok(decide_early(inventory, ids, self.settings.dry_run, clock.now()))
    }
}
