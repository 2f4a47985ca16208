//! Whether the room for whole tasks that the operator asked for is left, and what a drained instance
//! would give back of it. What follows for its drain is for `follow_up` to say.

use ebb_planner::{Inventory, Policy, TaskKind, TaskRoom, task_rooms};
use jiff::Timestamp;

use crate::ecs::ContainerInstanceStatus;
use crate::reaper::settings::{HEADROOM_LARGEST_TASKS, HEADROOM_TASKS};
use crate::words;

/// What is lacking of the room for whole tasks that the operator asked for, in words, if the instance
/// at `index` would give some of it back.
pub(crate) fn room_gained_by(
    index: usize,
    inventory: &Inventory,
    policy: &Policy,
    now: Timestamp,
) -> Option<String> {
    let rooms = task_rooms(inventory, policy, now);
    let short: Vec<_> = rooms.iter().filter(|room| room.room < i64::from(room.wanted)).collect();
    if short.is_empty() {
        return None;
    }
    let mut with_it = inventory.clone();
    set_active(&mut with_it, index);
    let rooms = task_rooms(&with_it, policy, now);
    let gains = |short: &&&TaskRoom| {
        let mut same =
            rooms.iter().filter(|it| it.service == short.service && it.largest == short.largest);
        same.any(|it| it.room > short.room)
    };
    let gained = short.iter().find(gains)?;
    let setting = if gained.largest { HEADROOM_LARGEST_TASKS } else { HEADROOM_TASKS };
    Some(format!(
        "there is room for {} of service {}, fewer than the {} that {setting} asks for",
        words::count(gained.room.max(0), "task"),
        gained.service,
        gained.wanted,
    ))
}

/// Sets an instance to ACTIVE again: its tasks need no other place then.
pub(crate) fn set_active(inventory: &mut Inventory, index: usize) {
    let instance = &mut inventory.instances[index];
    instance.status = ContainerInstanceStatus::Active;
    for task in instance.tasks.iter().flatten() {
        if let TaskKind::Service(service) = task.kind
            && let Some(service) = inventory.services.get_mut(service)
        {
            service.in_flight = service.in_flight.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use ebb_planner::{Service, TaskHeadroom};

    use super::*;
    use crate::reaper::testing::{NOW, instance, inventory, resources, service, task};

    /// One that drains, and one that is as good as full, in a cluster with a service of these needs.
    fn cluster(service: Service) -> Inventory {
        let (mut drains, mut full) = (instance(1), instance(2));
        drains.status = ContainerInstanceStatus::Draining;
        full.remaining = Some(resources(100, 100));
        let mut inventory = inventory(vec![drains, full]);
        inventory.services = vec![service];
        inventory
    }

    fn why(inventory: &Inventory, largest: u32) -> Option<String> {
        let task_headroom = TaskHeadroom { largest, ..TaskHeadroom::default() };
        let policy = Policy { task_headroom, ..Policy::default() };
        room_gained_by(0, inventory, &policy, NOW)
    }

    #[test]
    fn a_drained_instance_gives_back_room_that_lacks_and_no_other() {
        let lacks = cluster(service([1_000, 1_000]));
        assert_eq!(
            why(&lacks, 1).unwrap(),
            "there is room for 0 tasks of service web, fewer than the 1 that \
             HEADROOM_LARGEST_TASKS asks for"
        );
        assert_eq!(why(&lacks, 0), None, "nobody asks for any");
        let mut enough = lacks.clone();
        enough.instances[1].remaining = Some(resources(1_000, 1_000));
        assert_eq!(why(&enough, 1), None);
        assert!(why(&enough, 2).is_some());
        let elsewhere = Service {
            constraints: vec!["attribute:disk == nvme".to_owned()],
            ..service([1_000, 1_000])
        };
        let mut elsewhere = cluster(elsewhere);
        elsewhere.instances[1].attributes.insert("disk".to_owned(), "nvme".to_owned());
        assert_eq!(why(&elsewhere, 1), None, "it may not run on the drained one");
    }

    #[test]
    fn with_it_its_tasks_need_no_other_place() {
        let mut lacks = cluster(service([1_000, 1_000]));
        lacks.services[0].in_flight = 1;
        lacks.instances[0].tasks = Some(vec![task(TaskKind::Service(0))]);
        lacks.instances[0].remaining = Some(resources(1_048, 6_680));
        let policy = Policy {
            task_headroom: TaskHeadroom { largest: 1, ..TaskHeadroom::default() },
            ..Policy::default()
        };
        assert!(room_gained_by(0, &lacks, &policy, NOW).is_some());
        set_active(&mut lacks, 0);
        assert_eq!(lacks.services[0].in_flight, 0);
        assert!(room_gained_by(0, &lacks, &policy, NOW).is_none());
    }
}
