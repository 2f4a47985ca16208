//! `ebb why`: everything known about one container instance.

use std::collections::BTreeMap;
use std::fmt::Write;

use ebb_core::ids::InstanceId;
use ebb_core::mark::Mark;
use ebb_core::reaper::{Change, WayOut, way_out};
use ebb_core::words::price;
use ebb_planner::{Instance, Inventory, Policy, TaskKind};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::drains::drained_by;
use crate::snapshot::{ClusterSnapshot, Snapshot};
use crate::words::{age, usd};

/// What is known about an instance.
pub(crate) struct Why<'a> {
    cluster: &'a Inventory,
    instance: &'a Instance,
    now: Timestamp,
    verdict: Verdict,
    way_out: WayOut,
}

/// What a sweep would do about it.
struct Verdict {
    goes: bool,
    reason: &'static str,
    detail: String,
}

impl<'a> Why<'a> {
    /// Looks for an instance and asks the planner about it. `None` if no cluster has it.
    pub(crate) fn new(snapshot: &'a Snapshot, policy: &Policy, id: &InstanceId) -> Option<Self> {
        snapshot.clusters.iter().find_map(|cluster| {
            let inventory = &cluster.inventory;
            let instance = inventory.instances.iter().find(|it| it.instance_id == *id)?;
            Some(Self {
                cluster: inventory,
                instance,
                now: snapshot.at,
                verdict: verdict(cluster, policy, id, snapshot.at)?,
                way_out: way_out(inventory, policy, id, snapshot.at),
            })
        })
    }

    /// For people.
    pub(crate) fn text(&self) -> String {
        let Self { cluster, instance, verdict, .. } = self;
        let mut text = format!("{} in cluster {}\n", instance.instance_id, cluster.cluster.name());
        let group = match &instance.group {
            Some(group) => format!("group {group} ({})", instance.lifecycle_state),
            None => "no Auto Scaling group".to_owned(),
        };
        let registered = match instance.registered_at {
            Some(at) => format!("registered {} ago", age(at, self.now)),
            None => "registered at an unknown time".to_owned(),
        };
        let _ = writeln!(
            text,
            "  {}, {}, {group}, {} in ECS, {registered}",
            instance.instance_type, instance.zone, instance.status
        );
        if let Some(microusd) = instance.price_microusd {
            let _ = writeln!(text, "  {}", price(usd(microusd)));
        }
        if instance.is_draining() {
            let mark = Mark::among(&instance.attributes);
            let _ = writeln!(text, "  {}", drained_by(mark.as_ref(), self.now));
        }
        let tasks = self.tasks();
        let _ = writeln!(text, "  tasks");
        for TaskGroup { name, tasks, protected } in &tasks {
            let protected = match protected {
                0 => String::new(),
                number => format!(", {number} protected from scale-in"),
            };
            let _ = writeln!(text, "    {tasks:>3}  {name}{protected}");
        }
        if tasks.is_empty() {
            let _ = writeln!(text, "    none");
        }
        let sentence = if verdict.goes { "a sweep would take it" } else { "a sweep keeps it" };
        let _ = writeln!(text, "  {sentence}: {} ({})", verdict.detail, verdict.reason);
        text + &self.way_out_text()
    }

    fn way_out_text(&self) -> String {
        let WayOut { changes, goes } = &self.way_out;
        // What goes, or is on its way already, needs nothing.
        if self.verdict.goes || self.instance.is_draining() {
            return String::new();
        }
        match (changes.as_slice(), goes) {
            ([], true) => "  a later sweep takes it, if the load stays as it is\n".to_owned(),
            ([], false) => "  nothing that could be changed would let it go\n".to_owned(),
            (changes, goes) => {
                let end = if *goes {
                    "  for it to go, it takes"
                } else {
                    "  for it to go, it takes more than"
                };
                let lines = changes.iter().map(|change| format!("    - {change}\n"));
                format!("{end}\n{}", lines.collect::<String>())
            }
        }
    }

    /// For programs.
    pub(crate) fn json(&self) -> Value {
        let Self { cluster, instance, verdict, way_out, .. } = self;
        let mark = Mark::among(&instance.attributes);
        let tasks: Vec<_> = self
            .tasks()
            .into_iter()
            .map(|TaskGroup { name, tasks, protected }| {
                json!({"of": name, "tasks": tasks, "protected": protected})
            })
            .collect();
        json!({
            "instance_id": instance.instance_id,
            "cluster": cluster.cluster.name(),
            "instance_type": instance.instance_type,
            "zone": instance.zone,
            "group": instance.group,
            "lifecycle_state": instance.lifecycle_state.to_string(),
            "status": instance.status.to_string(),
            "registered_at": instance.registered_at,
            "usd_per_hour": instance.price_microusd.map(usd),
            "drained_by": mark.as_ref().map(|mark| &mark.function),
            "drained_since": mark.as_ref().map(|mark| mark.at),
            "tasks": tasks,
            "goes": verdict.goes,
            "reason": verdict.reason,
            "detail": verdict.detail,
            "changes": way_out.changes.iter().map(Change::to_string).collect::<Vec<_>>(),
            "goes_then": way_out.goes,
        })
    }

    fn tasks(&self) -> Vec<TaskGroup> {
        let mut groups = BTreeMap::<String, TaskGroup>::new();
        for task in self.instance.tasks.iter().flatten() {
            let name = match task.kind {
                TaskKind::Service(index) => match self.cluster.services.get(index) {
                    Some(service) => format!("service {}", service.name),
                    None => "a service that was not read".to_owned(),
                },
                TaskKind::UnknownService => "a service that was not read".to_owned(),
                TaskKind::Daemon => "daemon services".to_owned(),
                TaskKind::Standalone => format!("standalone: {}", task.id),
                TaskKind::Stopping => "told to stop".to_owned(),
            };
            let group =
                groups.entry(name.clone()).or_insert(TaskGroup { name, tasks: 0, protected: 0 });
            group.tasks += 1;
            group.protected += usize::from(task.protected);
        }
        groups.into_values().collect()
    }
}

/// Tasks of one kind.
struct TaskGroup {
    name: String,
    tasks: usize,
    protected: usize,
}

/// What a sweep would say about it: as `ebb plan` does.
fn verdict(
    cluster: &ClusterSnapshot,
    policy: &Policy,
    id: &InstanceId,
    now: Timestamp,
) -> Option<Verdict> {
    let plan = cluster.report(policy, now).plan;
    let removal = plan.remove.iter().find(|removal| removal.instance_id == *id);
    let removal = removal.map(|removal| Verdict {
        goes: true,
        reason: removal.reason.code(),
        detail: removal.reason.to_string(),
    });
    let kept = plan.keep.iter().find(|kept| kept.instance_id == *id).map(|kept| Verdict {
        goes: false,
        reason: kept.reason.code(),
        detail: kept.reason.to_string(),
    });
    removal.or(kept)
}
