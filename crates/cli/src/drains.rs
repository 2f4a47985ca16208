//! `ebb drains`: every container instance that drains, with its tasks, since when, and who drains it.

use std::fmt::Write;

use ebb_aws::{AwsError, PlacedTask};
use ebb_core::ids::Cluster;
use ebb_core::mark::Mark;
use ebb_core::words::count;
use ebb_planner::Instance;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::account::Account;
use crate::failure::Failure;
use crate::progress::Progress;
use crate::words::age;

/// A container instance that drains.
pub(crate) struct Drain {
    cluster: Cluster,
    instance: Instance,
    mark: Option<Mark>,
    tasks: Vec<PlacedTask>,
    /// Its group, and where it stands there.
    group: Option<(String, String)>,
}

/// What drains, at one moment.
pub(crate) struct Drains {
    at: Timestamp,
    clusters: usize,
    drains: Vec<Drain>,
}

impl Drains {
    /// Looks at clusters, one after the other. One that cannot be read hides no other.
    ///
    /// # Errors
    /// If the clusters cannot be listed.
    pub(crate) async fn read(
        account: &Account,
        clusters: Option<&[Cluster]>,
        progress: &Progress,
    ) -> Result<(Self, Vec<Failure>), Failure> {
        let region = account.region.as_str();
        let list = Box::pin(account.clients.ecs.clusters(clusters));
        let clusters = progress
            .during("Listing the clusters", list)
            .await
            .map_err(|error| Failure::of_call(error, None, region))?;
        let (mut drains, mut failures) = (Vec::new(), Vec::new());
        for (number, cluster) in (1..).zip(&clusters) {
            let label =
                format!("Reading cluster {} ({number} of {})", cluster.name(), clusters.len());
            let look = Box::pin(drains_of(account, cluster));
            match progress.during(&label, look).await {
                Ok(found) => drains.extend(found),
                Err(error) => failures.push(Failure::of_call(error, Some(cluster), region)),
            }
        }
        Ok((Self { at: account.clock.now(), clusters: clusters.len(), drains }, failures))
    }

    /// For people.
    pub(crate) fn text(&self) -> String {
        let clusters = count(self.clusters, "cluster");
        if self.drains.is_empty() {
            return format!("Nothing drains in {clusters}.\n");
        }
        let drains = count(self.drains.len(), "container instance");
        let mut text = format!("Draining: {drains} in {clusters}\n");
        for drain in &self.drains {
            text.push_str(&self.drain_text(drain));
        }
        text
    }

    fn drain_text(&self, drain: &Drain) -> String {
        let Drain { cluster, instance, mark, group, .. } = drain;
        let group = match group {
            Some((group, state)) => format!("group {group} ({state})"),
            None => "no Auto Scaling group".to_owned(),
        };
        let mut text = format!("{}  {}  {group}\n", instance.instance_id, cluster.name());
        let _ = writeln!(text, "  {}", drained_by(mark.as_ref(), self.at));
        if !instance.agent_connected {
            text.push_str("  its ECS agent is not connected: no task stops\n");
        }
        let lines = drain.task_lines();
        if lines.is_empty() {
            text.push_str("  no task is left\n");
        }
        for (name, tasks, stopping) in lines {
            let tasks = count(tasks, "task");
            let stopping = match stopping {
                0 => String::new(),
                number => format!(", {number} told to stop"),
            };
            let _ = writeln!(text, "  {tasks} {name}{stopping}");
        }
        text
    }

    /// For programs.
    pub(crate) fn json(&self) -> Value {
        let drains = self.drains.iter().map(|drain| {
            let Drain { cluster, instance, mark, group, .. } = drain;
            let tasks = drain.task_lines().into_iter().map(|(name, tasks, stopping)| {
                json!({"of": name, "tasks": tasks, "told_to_stop": stopping})
            });
            json!({
                "instance_id": instance.instance_id,
                "cluster": cluster.name(),
                "container_instance_arn": instance.arn,
                "group": group.as_ref().map(|(group, _)| group),
                "lifecycle_state": group.as_ref().map(|(_, state)| state),
                "agent_connected": instance.agent_connected,
                "drained_by": mark.as_ref().map(|mark| &mark.function),
                "drained_since": mark.as_ref().map(|mark| mark.at),
                "tasks": tasks.collect::<Vec<_>>(),
            })
        });
        json!({"at": self.at, "clusters": self.clusters, "drains": drains.collect::<Vec<_>>()})
    }
}

impl Drain {
    /// Its tasks by what runs them: how many, and how many of them were told to stop.
    fn task_lines(&self) -> Vec<(String, usize, usize)> {
        let mut lines = std::collections::BTreeMap::<String, (usize, usize)>::new();
        for task in &self.tasks {
            let name = match &task.service {
                Some(service) => format!("of service {service}"),
                None => "without a service".to_owned(),
            };
            let line = lines.entry(name).or_default();
            line.0 += 1;
            line.1 += usize::from(task.told_to_stop);
        }
        lines.into_iter().map(|(name, (tasks, stopping))| (name, tasks, stopping)).collect()
    }
}

async fn drains_of(account: &Account, cluster: &Cluster) -> Result<Vec<Drain>, AwsError> {
    let ecs = account.clients.ecs.paced();
    let mut instances = ecs.container_instances(cluster).await?;
    instances.retain(Instance::is_draining);
    if instances.is_empty() {
        return Ok(Vec::new());
    }
    let arns: Vec<_> = instances.iter().map(|instance| instance.arn.clone()).collect();
    let tasks = ecs.tasks_on_all(cluster, &arns).await?;
    let mut drains = Vec::new();
    for instance in instances {
        let state = account.clients.auto_scaling.lifecycle_state(&instance.instance_id).await?;
        let on_it = tasks.iter().filter(|task| task.container_instance == instance.arn);
        drains.push(Drain {
            cluster: cluster.clone(),
            mark: Mark::among(&instance.attributes),
            tasks: on_it.cloned().collect(),
            group: state.map(|(group, state)| (group.to_string(), state.to_string())),
            instance,
        });
    }
    Ok(drains)
}

/// Who drains an instance, by its mark, and since when.
pub(crate) fn drained_by(mark: Option<&Mark>, now: Timestamp) -> String {
    match mark {
        Some(Mark { function, at, cause }) => {
            let notice = match cause {
                Some(cause) => format!(", on a notice ({})", cause.as_str()),
                None => String::new(),
            };
            format!("drained by the {function} since {at} ({}){notice}", age(*at, now))
        }
        // The drainers mark only what may come back.
        None => "drained without a mark: by a drainer, by ECS or by a person".to_owned(),
    }
}
