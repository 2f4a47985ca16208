//! When the spare instances that sweeps drained come back: managed scaling counts them as spare while
//! they drain, and no task that moves can take them.
//!
//! Which are spare is for `follow_up` to say, and which groups they are to be drained of for the
//! planner.

use ebb_planner::{Instance, Inventory, Plan, TaskKind};

use crate::reaper::follow_up::FollowUp;

/// Lets spare instances wait for as long as tasks move that might take them: of instances that sweeps
/// drained before, for as long as these drain at most, or of those that `planned` takes. `decisions`
/// are those about the inventory.
pub fn keep_spares_away(
    inventory: &Inventory,
    decisions: &mut [(usize, FollowUp)],
    planned: &Plan,
) {
    let is_moved_off = |(index, decision): &(usize, FollowUp)| {
        matches!(decision, FollowUp::Wait(_)) && holds_service_tasks(&inventory.instances[*index])
    };
    let moves = planned.remove.iter().any(|removal| removal.reason.tasks() > 0)
        || decisions.iter().any(is_moved_off);
    let spares = decisions.iter_mut().map(|(_, decision)| decision);
    for decision in spares.filter(|it| moves && matches!(it, FollowUp::ReturnSpare(_))) {
        *decision = FollowUp::Wait("a spare one, out of the way of tasks that move".to_owned());
    }
}

fn holds_service_tasks(instance: &Instance) -> bool {
    let mut tasks = instance.tasks.iter().flatten();
    tasks.any(|task| matches!(task.kind, TaskKind::Service(_)))
}

#[cfg(test)]
mod tests {
    use ebb_planner::{KEEP_ATTRIBUTE, Policy, plan};

    use super::*;
    use crate::ecs::ContainerInstanceStatus;
    use crate::reaper::testing::{NOW, instance, inventory, service, task};

    /// Whether an empty spare instance comes back, beside one that drains with this task and two that
    /// hold a service's, of which one may go. The others are to be kept.
    fn returned(drains: TaskKind, decision: FollowUp, max_removals_percent: u32) -> bool {
        let draining =
            |number| Instance { status: ContainerInstanceStatus::Draining, ..instance(number) };
        let holding = |kind, instance| Instance { tasks: Some(vec![task(kind)]), ..instance };
        let mut cluster = inventory(vec![
            draining(1),
            holding(drains, draining(2)),
            holding(TaskKind::Service(0), instance(3)),
            holding(TaskKind::Service(0), instance(4)),
        ]);
        let keep = [(KEEP_ATTRIBUTE.to_owned(), String::new())];
        let kept = |number| Instance { attributes: keep.clone().into(), ..instance(number) };
        cluster.instances.extend((5..9).map(kept));
        cluster.services = vec![service([100, 100])];
        let policy = Policy { max_removals_percent, headroom_cpu_percent: 0, ..Policy::default() };
        let planned = plan(&cluster, &policy, NOW);
        let mut decisions =
            vec![(0, FollowUp::ReturnSpare("it is a spare one".to_owned())), (1, decision)];
        keep_spares_away(&cluster, &mut decisions, &planned);
        matches!(decisions[0].1, FollowUp::ReturnSpare(_))
    }

    #[test]
    fn a_spare_instance_comes_back_once_no_task_moves() {
        let waits = || FollowUp::Wait("1 task left".to_owned());
        let ends = || FollowUp::Reactivate { why: "stalled".to_owned(), load: false };
        assert!(!returned(TaskKind::Service(0), waits(), 0));
        assert!(returned(TaskKind::Service(0), ends(), 0), "its tasks stay");
        assert!(returned(TaskKind::Standalone, waits(), 0), "nobody places it again");
        assert!(returned(TaskKind::Daemon, waits(), 0));
        assert!(!returned(TaskKind::Daemon, waits(), 100), "the plan moves a task");
    }
}
