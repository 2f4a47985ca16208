//! How a cluster stands when its week is summed up: what drains for too long and why, and why nothing
//! goes, if so.

use std::collections::BTreeMap;

use ebb_planner::{Instance, Inventory, Service, Task, TaskKind};
use jiff::{SignedDuration, Timestamp};

use crate::event::Origin;
use crate::ids::{Cluster, InstanceId};
use crate::mark::Mark;
use crate::reaper::follow_up::PlacementFailure;
use crate::reaper::halt::Halt;
use crate::words::{count, list};

/// What has drained for less is on its way.
const STUCK_AFTER: SignedDuration = SignedDuration::from_hours(1);

/// A cluster, as far as a summary tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterState {
    /// The cluster.
    pub cluster: Cluster,
    /// How many container instances it has.
    pub instances: usize,
    /// What drains for too long, the longest first; then that whose beginning is not known.
    pub stuck: Vec<StuckDrain>,
    /// Why nothing goes there now: it is halted, or somebody holds it.
    pub nothing_goes: Vec<String>,
    pub(super) origin: Origin,
    /// What each instance costs an hour, if all have a price.
    prices_microusd: Option<Vec<u64>>,
}

/// A container instance that drains for too long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StuckDrain {
    /// Its EC2 instance.
    pub instance_id: InstanceId,
    /// Since when, and by which function, if its mark says so.
    pub since: Option<Timestamp>,
    /// What holds it.
    pub why: String,
}

impl ClusterState {
    /// Looks at a cluster. The tasks of what drains there must have been read; `unplaced` are the
    /// services that find no place for a task.
    pub fn new(
        inventory: &Inventory,
        unplaced: &[PlacementFailure],
        halt: Option<Halt>,
        now: Timestamp,
    ) -> Self {
        let draining = inventory.instances.iter().filter(|instance| instance.is_draining());
        let mut stuck: Vec<_> = draining
            .filter_map(|instance| stuck_drain(inventory, unplaced, instance, now))
            .collect();
        stuck.sort_by_cached_key(|drain| {
            (drain.since.is_none(), drain.since, drain.instance_id.clone())
        });
        let halt = halt.map(|halt| halt.why);
        let hold = inventory.hold(now).map(|hold| hold.to_string());
        let arn = inventory.instances.first().map(|instance| instance.arn.as_str());
        Self {
            cluster: inventory.cluster.clone(),
            instances: inventory.instances.len(),
            stuck,
            nothing_goes: halt.into_iter().chain(hold).collect(),
            origin: arn.map(Origin::of_arn).unwrap_or_default(),
            prices_microusd: inventory.instances.iter().map(|i| i.price_microusd).collect(),
        }
    }
}

/// What an instance of these clusters costs an hour, in the mean. `None` if one has no price, or there
/// is none.
pub(super) fn mean_price_microusd(clusters: &[ClusterState]) -> Option<u64> {
    let prices: Option<Vec<_>> =
        clusters.iter().map(|cluster| cluster.prices_microusd.as_deref()).collect();
    let prices = prices?.concat();
    prices.iter().sum::<u64>().checked_div(u64::try_from(prices.len()).ok()?)
}

/// `None` if it began to drain less than an hour ago. Of what bears no mark, as the lifecycle drainer's
/// and what others drain, nobody knows since when it does.
fn stuck_drain(
    inventory: &Inventory,
    unplaced: &[PlacementFailure],
    instance: &Instance,
    now: Timestamp,
) -> Option<StuckDrain> {
    let mark = Mark::among(&instance.attributes);
    if mark.as_ref().is_some_and(|mark| now.duration_since(mark.at) < STUCK_AFTER) {
        return None;
    }
    let since = match &mark {
        Some(mark) => format!("drained by the {} since {}", mark.function, mark.at),
        None => "DRAINING since an unknown time".to_owned(),
    };
    let agent = if instance.agent_connected { "" } else { ", its agent is not connected" };
    let tasks = match &instance.tasks {
        Some(tasks) => tasks_left(inventory, unplaced, tasks),
        None => "its tasks were not read".to_owned(),
    };
    Some(StuckDrain {
        instance_id: instance.instance_id.clone(),
        since: mark.map(|mark| mark.at),
        why: format!("{since}{agent}: {tasks}"),
    })
}

/// What is left on an instance, daemon tasks not counted, and what holds it there.
fn tasks_left(inventory: &Inventory, unplaced: &[PlacementFailure], tasks: &[Task]) -> String {
    let mut kinds = BTreeMap::<String, usize>::new();
    for task in tasks {
        let kind = match task.kind {
            TaskKind::Daemon => continue,
            TaskKind::Stopping => "that was told to stop".to_owned(),
            TaskKind::Standalone => "without a service, which nobody starts elsewhere".to_owned(),
            TaskKind::UnknownService => "of a service that was not read".to_owned(),
            TaskKind::Service(_) if task.protected => "protected from scale-in".to_owned(),
            TaskKind::Service(index) => match inventory.services.get(index) {
                Some(service) => of_service(service, unplaced),
                None => "of a service that was not read".to_owned(),
            },
        };
        *kinds.entry(kind).or_default() += 1;
    }
    let kinds: Vec<_> =
        kinds.iter().map(|(kind, tasks)| format!("{} {kind}", count(*tasks, "task"))).collect();
    if kinds.is_empty() { "no task is left on it".to_owned() } else { list(&kinds) }
}

fn of_service(service: &Service, unplaced: &[PlacementFailure]) -> String {
    let why = if service.minimum_healthy_percent >= 100 && service.maximum_percent <= 100 {
        " (minimum and maximum are 100 %: ECS can neither stop nor start a task)"
    } else if unplaced.iter().any(|failure| failure.service == service.name) {
        " (ECS finds no place for its tasks)"
    } else {
        ""
    };
    format!("of service {}{why}", service.name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ecs::ContainerInstanceStatus;
    use crate::mark::DRAINED_BY;
    use crate::reaper::halt::HaltCause;
    use crate::reaper::testing::{NOW, id, instance, inventory, seconds_ago, service, task};

    fn draining(number: u64, seconds: Option<i64>, tasks: Option<Vec<Task>>) -> Instance {
        let mark = seconds.map(|seconds| Mark {
            function: "scale-in-reaper".to_owned(),
            at: seconds_ago(seconds),
            cause: None,
        });
        let mark = mark.map(|mark| (DRAINED_BY.to_owned(), mark.to_string()));
        Instance {
            status: ContainerInstanceStatus::Draining,
            attributes: mark.into_iter().collect(),
            tasks,
            ..instance(number)
        }
    }

    fn failure(service: &str) -> PlacementFailure {
        PlacementFailure {
            service: service.to_owned(),
            latest: NOW,
            oldest: None,
            demand: ebb_planner::Resources::default(),
        }
    }

    #[test]
    fn what_has_drained_for_an_hour_or_nobody_knows_how_long_is_stuck() {
        let empty = || Some(Vec::new());
        let state = ClusterState::new(
            &inventory(vec![
                instance(1),
                draining(2, None, None),
                draining(3, Some(3_599), empty()),
                draining(4, Some(3_600), empty()),
                draining(5, Some(7_200), empty()),
            ]),
            &[],
            None,
            NOW,
        );
        let stuck: Vec<_> = state.stuck.iter().map(|drain| drain.instance_id.clone()).collect();
        assert_eq!(stuck, [id(5), id(4), id(2)]);
        let why: Vec<_> = state.stuck.iter().map(|drain| drain.why.as_str()).collect();
        assert_eq!(
            why[0],
            "drained by the scale-in-reaper since 1969-12-31T22:00:00Z: no task is left on it"
        );
        assert_eq!(why[2], "DRAINING since an unknown time: its tasks were not read");
    }

    #[test]
    fn what_holds_a_drain_is_named() {
        let web = || task(TaskKind::Service(0));
        let why = |tasks, [minimum, maximum]: [u32; 2], unplaced: &[PlacementFailure]| {
            let mut cluster = inventory(vec![Instance {
                agent_connected: false,
                ..draining(1, None, Some(tasks))
            }]);
            cluster.services = vec![Service {
                minimum_healthy_percent: minimum,
                maximum_percent: maximum,
                ..service([1, 1])
            }];
            let state = ClusterState::new(&cluster, unplaced, None, NOW);
            let begin = "DRAINING since an unknown time, its agent is not connected: ";
            state.stuck[0].why.strip_prefix(begin).unwrap().to_owned()
        };
        let free = [50, 200];
        assert_eq!(why(vec![web(), web()], free, &[]), "2 tasks of service web");
        assert_eq!(
            why(vec![web()], free, &[failure("web")]),
            "1 task of service web (ECS finds no place for its tasks)"
        );
        assert_eq!(why(vec![web()], free, &[failure("api")]), "1 task of service web");
        assert_eq!(
            why(vec![web()], [100, 100], &[]),
            "1 task of service web (minimum and maximum are 100 %: ECS can neither stop nor start \
             a task)"
        );
        let protected = Task { protected: true, ..web() };
        let kinds = [TaskKind::Daemon, TaskKind::Stopping, TaskKind::Standalone];
        let mut tasks: Vec<_> = kinds.into_iter().map(task).collect();
        tasks.push(protected);
        assert_eq!(
            why(tasks, free, &[]),
            "1 task protected from scale-in, 1 task that was told to stop and 1 task without a \
             service, which nobody starts elsewhere"
        );
        assert_eq!(why(vec![task(TaskKind::Daemon)], free, &[]), "no task is left on it");
        assert_eq!(
            why(vec![task(TaskKind::Service(9)), task(TaskKind::UnknownService)], free, &[]),
            "2 tasks of a service that was not read"
        );
    }

    #[test]
    fn a_halt_and_a_hold_say_why_nothing_goes() {
        let cluster =
            Inventory { hold_until: Some("forever".to_owned()), ..inventory(vec![instance(1)]) };
        let halt = Halt {
            cause: HaltCause::DeploymentFails,
            why: "the deployment of web fails".to_owned(),
        };
        let state = ClusterState::new(&cluster, &[], Some(halt), NOW);
        let [halted, held] = state.nothing_goes.as_slice() else { panic!("{state:?}") };
        assert_eq!(halted, "the deployment of web fails");
        assert!(held.starts_with("cluster shop is held until "), "{held}");
        assert_eq!(ClusterState::new(&inventory(Vec::new()), &[], None, NOW).nothing_goes, [""; 0]);
    }
}
