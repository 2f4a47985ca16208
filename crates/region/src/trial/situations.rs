//! The situations. Each is a small cluster with what AWS does by default: a task takes 8 s to start,
//! counts as healthy 40 s later, and stops within 3 s of being told to. Only where it is said does it
//! leave a load balancer before that, so that each situation shows what is its own.

use std::time::Duration;

use jiff::Timestamp;

use super::deployment::Deployment;
use super::signal::Signal;
use crate::fault::{Fault, Faults};
use crate::world::World;
use crate::world::autoscaling::{Group, Refused};
use crate::world::delivery::Mishaps;
use crate::world::ecs::{NewInstance, ServiceKind, Status, TaskSpec};
use crate::world::spot::Action;

/// The cluster.
pub const CLUSTER: &str = "shop";

const WEB: &str = "web";

/// For how long calls are throttled, where they are.
const THROTTLED: Duration = Duration::from_secs(20);

/// A situation to play a drainer through.
#[derive(Debug)]
pub struct Trial {
    /// Its name.
    pub name: &'static str,
    /// What AWS says in it.
    pub signal: Signal,
    /// How many instances it takes.
    pub instances: usize,
    /// Whether the hook is put as the trial begins, for which Auto Scaling sends its topic a test
    /// notification.
    puts_hook: bool,
    cluster: fn(Timestamp) -> World,
    pub(super) later: Option<Later>,
}

/// What happens later, and after how long.
type Later = (Duration, fn(&mut World));

impl Trial {
    /// The world at `now`: the drainer is there, and the instances have just begun to go.
    ///
    /// # Errors
    /// If Auto Scaling refuses a hook or a termination.
    pub fn world(&self, deployment: &Deployment, now: Timestamp) -> Result<World, Refused> {
        let mut world = (self.cluster)(now);
        deployment.install(&mut world, self.signal, self.puts_hook)?;
        for instance_id in (0..self.instances).map(instance_id) {
            match self.signal {
                Signal::Termination => {
                    world.terminate_in_group(&instance_id, true)?;
                }
                Signal::Interruption(action) => world.interrupt(&instance_id, action),
            }
        }
        Ok(world)
    }
}

/// Every trial, in the order of the table.
pub const TRIALS: [Trial; 14] = [
    // The deregistration delay that a target group has by default.
    termination("scale-in-of-2", 2, |now| cluster(now, 8, load_balanced(300))),
    termination("already-draining", 1, |now| {
        let mut world = cluster(now - Duration::from_secs(10), 4, TaskSpec::default());
        set_draining(&mut world);
        world.advance(now);
        world
    }),
    termination("on-page-2-of-150", 1, |now| last_of(cluster(now, 150, TaskSpec::default()))),
    termination("drain-of-18-minutes", 1, |now| cluster(now, 4, load_balanced(1_080))),
    Trial {
        // Nothing can move until somebody looks after it.
        later: Some((Duration::from_secs(300), |world| {
            world.set_service_kind(CLUSTER, WEB, ServiceKind::replica(8));
        })),
        ..termination("min-is-max", 1, |now| {
            let mut world = cluster(now, 4, TaskSpec::default());
            let kind = ServiceKind::Replica { desired: 8, min_percent: 100, max_percent: 100 };
            world.set_service_kind(CLUSTER, WEB, kind);
            world
        })
    },
    Trial {
        // A job that nobody interrupts ends by itself.
        later: Some((Duration::from_secs(600), end_standalone_tasks)),
        ..termination("standalone-task", 1, |now| {
            let mut world = cluster(now, 4, TaskSpec::default());
            if let Some((_, id)) = registration(&world) {
                world.run_task(CLUSTER, &id, "import", TaskSpec::default());
            }
            world
        })
    },
    Trial {
        later: Some((Duration::from_secs(300), |world| world.reconnect_agent(&instance_id(0)))),
        ..termination("lost-agent", 1, |now| {
            let mut world = cluster(now, 4, TaskSpec::default());
            world.disconnect_agent(&instance_id(0));
            world
        })
    },
    Trial {
        later: Some((THROTTLED, |world| world.faults = Faults::default())),
        ..termination("throttles", 1, |now| throttled(cluster(now, 4, TaskSpec::default())))
    },
    termination("never-joined", 1, |now| {
        let mut world = World::new(now, 1);
        add_group(&mut world, 4);
        // The first of the group is in no cluster.
        (1..4).for_each(|number| add_instance(&mut world, number));
        add_services(&mut world, 3, TaskSpec::default());
        world
    }),
    Trial {
        // Only what AWS sends first comes twice: if all did that a drainer sends itself, its
        // messages would double with each.
        later: Some((Duration::from_secs(2), |world| world.delivery.mishaps = Mishaps::default())),
        ..termination("doubled-deliveries", 1, |now| {
            let mut world = cluster(now, 4, TaskSpec::default());
            world.delivery.mishaps = Mishaps { duplicate: 1.0, ..Mishaps::default() };
            world
        })
    },
    Trial {
        puts_hook: true,
        ..termination("test-notification", 1, |now| cluster(now, 4, TaskSpec::default()))
    },
    termination("40-at-once", 40, |now| cluster(now, 80, TaskSpec::default())),
    interruption("spot-terminate", Action::Terminate),
    interruption("spot-stop", Action::Stop),
];

const fn termination(
    name: &'static str,
    instances: usize,
    cluster: fn(Timestamp) -> World,
) -> Trial {
    Trial { name, signal: Signal::Termination, instances, puts_hook: false, cluster, later: None }
}

/// Half of a cluster at once, while calls are throttled. Within two minutes only what leaves its
/// load balancer quickly can move.
const fn interruption(name: &'static str, action: Action) -> Trial {
    Trial {
        signal: Signal::Interruption(action),
        later: Some((THROTTLED, |world| world.faults = Faults::default())),
        ..termination(name, 10, |now| throttled(cluster(now, 20, load_balanced(30))))
    }
}

/// A cluster of this many instances in one group, with two tasks of a service on each, and a
/// daemon's.
fn cluster(now: Timestamp, instances: usize, web: TaskSpec) -> World {
    let mut world = World::new(now, 1);
    (0..instances).for_each(|number| add_instance(&mut world, number));
    add_group(&mut world, instances);
    add_services(&mut world, instances, web);
    world
}

fn add_instance(world: &mut World, number: usize) {
    world.add_instance(CLUSTER, NewInstance::new(instance_id(number)));
}

fn add_group(world: &mut World, instances: usize) {
    let mut group = Group::with_instances(CLUSTER, (0..instances).map(instance_id));
    // By these, drainers of others find the cluster.
    group.tags.insert("ECSCluster".to_owned(), CLUSTER.to_owned());
    group.tags.insert("Name".to_owned(), format!("{CLUSTER} ECS host"));
    // A group that moves instances between zones would add drains of its own.
    world.add_group("group", group.suspending(&["AZRebalance"]));
}

fn add_services(world: &mut World, instances: usize, web: TaskSpec) {
    world.add_service(CLUSTER, WEB, ServiceKind::replica(2 * instances), web);
    world.add_service(CLUSTER, "logs", ServiceKind::Daemon, TaskSpec::default());
}

fn instance_id(number: usize) -> String {
    format!("i-{number:017x}")
}

fn load_balanced(deregistration_seconds: u64) -> TaskSpec {
    let deregistration_delay = Some(Duration::from_secs(deregistration_seconds));
    TaskSpec { deregistration_delay, ..TaskSpec::default() }
}

/// The cluster and the id of the first instance's container instance.
fn registration(world: &World) -> Option<(String, String)> {
    world.registrations(&instance_id(0)).into_iter().next()
}

fn set_draining(world: &mut World) {
    if let Some((cluster, id)) = registration(world) {
        world.set_status(&cluster, &id, Status::Draining);
    }
}

/// The first instance is the last that ECS lists.
fn last_of(mut world: World) -> World {
    if let Some(cluster) = world.clusters.get_mut(CLUSTER) {
        let last = cluster.instances.keys().next_back().cloned().unwrap_or_default();
        let first = instance_id(0);
        let listed_last = cluster.instances[&last].instance_id.clone();
        for instance in cluster.instances.values_mut() {
            if instance.instance_id == first {
                instance.instance_id.clone_from(&listed_last);
            } else if instance.id == last {
                instance.instance_id.clone_from(&first);
            }
        }
    }
    world
}

/// Every call by which a drainer asks ECS and drains is throttled, until something ends that.
fn throttled(mut world: World) -> World {
    for operation in [
        "ListContainerInstances",
        "DescribeContainerInstances",
        "UpdateContainerInstancesState",
        "ListTasks",
        "DescribeTasks",
    ] {
        world.faults.plan(operation, Fault::Throttle, u32::MAX);
    }
    world
}

fn end_standalone_tasks(world: &mut World) {
    let tasks = world.clusters[CLUSTER].tasks.values();
    let standalone: Vec<_> =
        tasks.filter(|task| task.service.is_none()).map(|task| task.id.clone()).collect();
    for task in standalone {
        world.stop_task(CLUSTER, &task);
    }
}
