//! Stands in for invocations that do not come: where more instances are terminated than the
//! function has executions, the messages of some wait in Lambda's queue, for minutes, with their
//! instances ACTIVE and their actions running out. Whoever has an execution drains them as well.
//!
//! Lambda tries a throttled event again after pauses that grow to five minutes (Lambda Developer
//! Guide, invocation-async-error-handling), and whatever publishes its message again takes the free
//! execution first: shorter hops would not help those that wait.

use std::collections::BTreeSet;
use std::sync::OnceLock;
use std::time::Duration;

use ebb_aws::{Clients, Ecs, Member, Problem};
use ebb_core::event::Message;
use ebb_core::ids::{Cluster, InstanceId};
use ebb_core::lifecycle::action::LifecycleAction;
use ebb_core::lifecycle::settings::{LifecycleSettings, OnTimeout};
use ebb_core::lifecycle::{ActionState, unattended_share};
use futures_util::{Stream, StreamExt, stream};
use tokio::time::sleep;
use tracing::warn;

/// When a hop looks first: every message that found an execution has had its instance drained by
/// then. Up to a fifth less by chance, so that several hops do not choose among the same instances.
const FIRST_LOOK: Duration = Duration::from_secs(25);

/// The pause between two looks while there is something to take up.
const SHORT_INTERVAL: Duration = Duration::from_secs(30);

/// The pause between two looks while there is not: the longest that Lambda makes between two
/// attempts.
const LONG_INTERVAL: Duration = Duration::from_mins(5);

/// What a hop sees beside its own instance.
#[derive(Debug, Default)]
pub(crate) struct Surroundings {
    /// The clusters in which the container instances of its own instance are.
    pub(crate) clusters: OnceLock<Vec<Cluster>>,
    /// The instances of the group that it waits for, its own among them.
    pub(crate) waiting: OnceLock<BTreeSet<InstanceId>>,
}

/// The instances of a group that it waits for.
pub(crate) fn waiting_members(members: &[Member]) -> BTreeSet<InstanceId> {
    let waiting = members.iter().filter(|member| {
        ActionState::from_lifecycle_state(&member.lifecycle_state) == ActionState::Waiting
    });
    waiting.map(|member| member.instance_id.clone()).collect()
}

/// The looks of one invocation.
pub(crate) struct UnattendedLooks<'a> {
    clients: &'a Clients,
    action: &'a LifecycleAction,
    seen: &'a Surroundings,
    pause: Duration,
    is_wanted: bool,
}

impl<'a> UnattendedLooks<'a> {
    pub(crate) fn new(
        settings: &LifecycleSettings,
        clients: &'a Clients,
        action: &'a LifecycleAction,
        seen: &'a Surroundings,
    ) -> Self {
        let pause = FIRST_LOOK.mul_f64(0.8 + fastrand::f64() / 5.0);
        // An instance that is ACTIVE while its group waits may have been given up, and be left to
        // its action's own end on purpose.
        let is_wanted = !settings.dry_run && settings.on_timeout != OnTimeout::Reactivate;
        Self { clients, action, seen, pause, is_wanted }
    }

    /// The actions to take up, look by look, without an end: whoever has nothing to wait for any
    /// more drops it.
    pub(crate) fn actions(self) -> impl Stream<Item = LifecycleAction> {
        let looks = stream::unfold(self, |looks| async move {
            let (looks, actions) = looks.next().await?;
            Some((stream::iter(actions), looks))
        });
        looks.flatten()
    }

    /// Waits for the next look, and returns the actions to take up. The first look goes by what the
    /// hop has seen, if it has looked at its group: it costs no call then where no other instance is
    /// terminated.
    async fn next(mut self) -> Option<(Self, Vec<LifecycleAction>)> {
        if !self.is_wanted {
            return None;
        }
        sleep(self.pause).await;
        let (next, chosen) = match self.look().await {
            Ok(chosen) if chosen.is_empty() => (LONG_INTERVAL, chosen),
            Ok(chosen) => (SHORT_INTERVAL, chosen),
            // Best effort: their own messages come. Where ECS throttles a look it is requests that
            // are short, not executions, and to stand in would take more of them.
            Err(problem) => {
                warn!("Could not look for other instances: {}", problem.text);
                (LONG_INTERVAL, Vec::new())
            }
        };
        self.pause = next;
        let actions = chosen.into_iter().map(|id| action_of(self.action, id)).collect();
        Some((self, actions))
    }

    async fn look(&self) -> Result<Vec<InstanceId>, Problem> {
        // Without a container instance of its own the hop is over soon.
        let Some(clusters) = self.seen.clusters.get() else { return Ok(Vec::new()) };
        let is_first = self.pause <= FIRST_LOOK;
        if let Some(waiting) = self.seen.waiting.get().filter(|_| is_first) {
            return self.choose(waiting, clusters).await;
        }
        let group = self.clients.auto_scaling.group(&self.action.group).await?;
        self.choose(&waiting_members(&group.members), clusters).await
    }

    /// Chooses among the instances that the group waits for and whose container instances are
    /// ACTIVE: the first step of every hop sets them DRAINING, so no hop has begun for these.
    async fn choose(
        &self,
        waiting: &BTreeSet<InstanceId>,
        clusters: &[Cluster],
    ) -> Result<Vec<InstanceId>, Problem> {
        let own = &self.action.instance_id;
        let mut others: Vec<_> = waiting.iter().filter(|id| *id != own).cloned().collect();
        fastrand::shuffle(&mut others);
        // As many as one list takes. Those beyond are seen by another invocation, or later.
        others.truncate(Ecs::FIND_IDS_MAX);
        if others.is_empty() {
            return Ok(others);
        }
        let mut unattended = BTreeSet::new();
        for cluster in clusters {
            unattended.extend(self.clients.ecs.active_among(cluster, &others).await?);
        }
        let share = unattended_share(unattended.len(), 1 + others.len() - unattended.len());
        others.retain(|id| unattended.contains(id));
        others.truncate(share);
        Ok(others)
    }
}

/// The action of another instance, by the same hook. That it is open is proven by the first
/// heartbeat of its hop, before anything is done.
fn action_of(action: &LifecycleAction, instance_id: InstanceId) -> LifecycleAction {
    LifecycleAction {
        instance_id,
        token: None,
        time: None,
        carried: None,
        message: Message { topic: None, ..action.message.clone() },
        ..action.clone()
    }
}
