//! Takes drains back: sets container instances to ACTIVE whose instances run again. Which ones is
//! decided by `ebb_core::spot::decide_return`.

use std::collections::HashMap;

use ebb_aws::{AwsError, Clock, Problem};
use ebb_core::ecs::ContainerInstance;
use ebb_core::ids::{Cluster, InstanceId};
use ebb_core::mark::DRAINED_BY;
use ebb_core::spot::notice::Notice;
use ebb_core::spot::{Decision, OutcomeKind, decide_return};

use crate::drainer::{FUNCTION, SpotDrainer};
use crate::item::Step;
use crate::round::Visited;

impl SpotDrainer {
    /// Sets the container instances in one cluster to ACTIVE that this function drained and that are
    /// back.
    pub(crate) async fn take_back_found(
        &self,
        cluster: &Cluster,
        instance_ids: &[InstanceId],
        notices: &HashMap<InstanceId, Notice>,
        clock: Clock,
    ) -> Result<Vec<Visited>, AwsError> {
        let mut steps = Vec::new();
        for observed in self.clients.ecs.observe_on(cluster, instance_ids, DRAINED_BY).await? {
            let instance = &observed.container_instance;
            let Some(notice) = notices.get(&instance.instance_id) else { continue };
            let dry_run = self.settings.dry_run;
            let decision = decide_return(notice, Some(&observed), FUNCTION, dry_run, clock.now());
            let step = self.take_back(instance, decision).await;
            let mark = observed.mark();
            steps.push((observed.container_instance, mark, step));
        }
        Ok(steps)
    }

    /// Carries out what is decided about a container instance that is back.
    async fn take_back(&self, instance: &ContainerInstance, decision: Decision) -> Step {
        let ContainerInstance { arn, cluster, .. } = instance;
        match decision {
            Decision::Done { outcome, reason } => return Step::Settled(outcome, reason),
            Decision::LookAgain { why } => return Step::Failed(Problem::other(why)),
            // ACTIVE first, and the mark after it: a death in between leaves a mark, which the next
            // delivery finds. Without its mark a DRAINING instance would be nobody's.
            Decision::Reactivate => {
                if let Err(error) = self.clients.ecs.set_active(cluster, arn).await {
                    return Step::Failed(error.into());
                }
            }
            Decision::Unmark | Decision::Drain => {}
        }
        let arns = std::slice::from_ref(arn);
        match self.clients.ecs.delete_attribute(cluster, DRAINED_BY, arns).await {
            Ok(()) => Step::Settled(OutcomeKind::Reactivated, "it runs again".to_owned()),
            Err(error) => Step::Failed(error.into()),
        }
    }
}
