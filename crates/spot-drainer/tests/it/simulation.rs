//! Seeded simulation: random clusters with forgotten container instances, notices of every kind,
//! instances that return, people who drain as well, deliveries, faults and deaths, and what must hold
//! in each of them.
//!
//! `SEEDS=n` runs the first n seeds, `SEED=n` runs one. A seed that failed is printed, and kept in
//! [`KEPT`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ebb_aws::{Clients, HandlerError, Problem, clients::config_loader};
use ebb_core::ids::{Cluster, TopicArn};
use ebb_core::mark::DRAINED_BY;
use ebb_core::spot::OutcomeKind;
use ebb_core::spot::settings::SpotSettings;
use ebb_region::fault::Fault;
use ebb_region::in_process::InProcess;
use ebb_region::world::World;
use ebb_region::world::delivery::{Function, Queue};
use ebb_region::world::ecs::{NewInstance, ServiceKind, Status, TaskSpec};
use ebb_region::world::spot::Action;
use ebb_region::{Region, scenario, seeds};
use fastrand::Rng;
use spot_drainer::SpotDrainer;
use tokio::time::sleep;

use crate::support::{TIMEOUT, home, start_time};

/// How many seeds `cargo test` runs.
const SEEDS: u64 = 30;

/// Seeds that failed once. What they found is mended; they are run every time.
const KEPT: [u64; 0] = [];

/// Over how much time the story is spread, and for how long it then comes to rest.
const STORY: Duration = Duration::from_secs(3_600);
const REST: Duration = Duration::from_secs(3_600);

const PEOPLE: &str = "arn:aws:sns:eu-west-1:111122223333:people";

const CLUSTERS: [&str; 3] = ["old", "shop", "zoo"];

const CALLS: [&str; 11] = [
    "ListClusters",
    "ListContainerInstances",
    "DescribeContainerInstances",
    "UpdateContainerInstancesState",
    "PutAttributes",
    "DeleteAttributes",
    "DescribeAutoScalingGroups",
    "ListServices",
    "DescribeServices",
    "ListTasks",
    "DescribeTasks",
];

/// What happens beside the function.
#[derive(Debug, Clone)]
enum Change {
    Interrupt { instance_id: String, action: Action, return_after: Option<Duration> },
    Recommend { instance_id: String },
    DrainedByHand { instance_id: String },
    Fault { operation: &'static str, fault: Fault, calls: u32 },
}

/// A story drawn from a seed.
struct Story {
    settings: SpotSettings,
    world: World,
    changes: Vec<(Duration, Change)>,
    /// The chance that an invocation is killed, somewhere.
    killed: f64,
    rng: Rng,
}

fn id(number: usize) -> String {
    format!("i-0a1b2c3d4e5f6{number:04}")
}

fn draw(seed: u64) -> Story {
    let mut rng = Rng::with_seed(seed);
    let mut world = World::new(start_time(), seed);
    let instances = rng.usize(2..12);
    for name in CLUSTERS {
        world.add_cluster(name);
    }
    for number in 1..=instances {
        let cluster = CLUSTERS[rng.usize(..CLUSTERS.len())];
        world.add_instance(cluster, NewInstance::new(id(number)));
        // Forgotten ones are older than the one that lives.
        for age in 0..[0, 0, 0, 1, 1, 2][rng.usize(..6)] {
            let cluster = CLUSTERS[rng.usize(..CLUSTERS.len())];
            let status = if rng.bool() { Status::Active } else { Status::Draining };
            let ghost = NewInstance::new(id(number)).age(Duration::from_secs(86_400 + age));
            world.add_instance(cluster, ghost.status(status).agent_disconnected());
        }
    }
    for name in CLUSTERS {
        world.add_service(name, "web", ServiceKind::replica(instances), TaskSpec::default());
    }
    let calm = rng.u8(..3) == 0;
    let changes = draw_changes(&mut rng, instances, calm);
    if !calm {
        world.delivery.mishaps.duplicate = rng.f64() / 2.0;
        world.delivery.mishaps.late = rng.f64() / 2.0;
    }
    let killed = if calm || rng.bool() { 0.0 } else { rng.f64() / 4.0 };
    scenario::route_notices(
        &mut world,
        Queue::for_function(scenario::SPOT_DRAINER),
        Function::new(TIMEOUT),
    );
    world.create_topic(PEOPLE);
    let settings =
        SpotSettings { notification_topic: Some(TopicArn::new(PEOPLE)), ..SpotSettings::default() };
    let clusters = rng.bool().then(|| CLUSTERS.map(Cluster::new).to_vec());
    let settings = SpotSettings { clusters, drain_on_rebalance: rng.bool(), ..settings };
    Story { settings, world, changes, killed, rng }
}

fn draw_changes(rng: &mut Rng, instances: usize, calm: bool) -> Vec<(Duration, Change)> {
    let mut changes = Vec::new();
    for number in 1..=instances {
        let instance_id = id(number);
        let at = STORY.mul_f64(rng.f64() / 2.0);
        if rng.u8(..4) == 0 {
            let at = at.saturating_sub(Duration::from_secs(rng.u64(..1_200)));
            changes.push((at, Change::Recommend { instance_id: instance_id.clone() }));
        }
        if rng.u8(..4) == 0 {
            let at = at.saturating_sub(Duration::from_secs(1 + rng.u64(..1_200)));
            changes.push((at, Change::DrainedByHand { instance_id: instance_id.clone() }));
        }
        if rng.u8(..3) > 0 {
            let actions = [Action::Terminate, Action::Stop, Action::Hibernate];
            let action = actions[rng.usize(..actions.len())];
            let return_after = rng.bool().then(|| Duration::from_secs(rng.u64(180..1_500)));
            changes.push((at, Change::Interrupt { instance_id, action, return_after }));
        }
    }
    if !calm {
        for _ in 0..rng.usize(..6) {
            let fault = Fault::TRANSIENT[rng.usize(..Fault::TRANSIENT.len())];
            let operation = CALLS[rng.usize(..CALLS.len())];
            let change = Change::Fault { operation, fault, calls: rng.u32(1..5) };
            changes.push((STORY.mul_f64(rng.f64()), change));
        }
    }
    changes.sort_by_key(|(at, _)| *at);
    changes
}

/// Carries out a change, and notes which container instances others drain.
fn apply(world: &mut World, change: &Change, drained_by_others: &mut BTreeSet<String>) {
    match change {
        Change::Interrupt { instance_id, action, return_after } => {
            world.interrupt(instance_id, *action);
            if let Some(after) = return_after {
                world.return_instance(instance_id, *after);
            }
        }
        Change::Recommend { instance_id } => world.recommend_rebalance(instance_id),
        Change::DrainedByHand { instance_id } => {
            for (cluster, id) in world.registrations(instance_id) {
                if world.clusters[&cluster].instances[&id].status == Status::Active {
                    world.set_status(&cluster, &id, Status::Draining);
                    drained_by_others.insert(id);
                }
            }
        }
        Change::Fault { operation, fault, calls } => world.faults.plan(operation, *fault, *calls),
    }
}

async fn play(seed: u64) -> Result<(), String> {
    let Story { settings, world, changes, killed, rng } = draw(seed);
    fastrand::seed(seed);
    let recommended = settings.drain_on_rebalance;
    let mut drained_by_others: BTreeSet<_> = world
        .clusters
        .values()
        .flat_map(|cluster| cluster.instances.values())
        .filter(|instance| instance.status == Status::Draining)
        .map(|instance| instance.id.clone())
        .collect();
    let region = Region::start(world.clone(), 1.0);
    let clients = Clients::new(&region.connect(config_loader()).await);
    let drainer = Arc::new((SpotDrainer::new(clients, settings), Mutex::new(rng)));
    let without_room = Arc::new(Mutex::new(BTreeSet::new()));
    let answered = Arc::clone(&without_room);
    let handle = move |drainer: Arc<(SpotDrainer, Mutex<Rng>)>, payload, now, deadline| {
        let answered = Arc::clone(&answered);
        async move {
            let killed_after = {
                let mut rng = drainer.1.lock().unwrap();
                (rng.f64() < killed).then(|| Duration::from_millis(rng.u64(..400)))
            };
            let home = home();
            let run = drainer.0.handle(&payload, &home, now, deadline);
            let answer = match killed_after {
                None => run.await,
                Some(after) => tokio::time::timeout(after, run).await.unwrap_or_else(|_| {
                    Err(HandlerError::of(&[Problem::other("killed")]).unwrap())
                }),
            };
            let outcomes = answer.iter().flat_map(|answer| answer.of_kind(OutcomeKind::NoRoom));
            let ids = outcomes.filter_map(|outcome| Some(outcome.instance_id.clone()?.to_string()));
            answered.lock().unwrap().extend(ids);
            answer
        }
    };
    let lambda = InProcess::default().handling(scenario::SPOT_DRAINER, &region, &drainer, handle);
    let change_world = async {
        let mut passed = Duration::ZERO;
        for (at, change) in &changes {
            sleep(*at - passed).await;
            passed = *at;
            apply(&mut region.world(), change, &mut drained_by_others);
            region.notify();
        }
        sleep(STORY + REST - passed).await;
    };
    tokio::select! {
        biased;
        () = change_world => {}
        never = region.run_forever(&lambda) => match never {},
    }
    seeds::write_page("spot-drainer", &world, &region.world());
    // What was said to have no room may stay as it is.
    let without_room = without_room.lock().unwrap().clone();
    let mut fates = fates(&changes, recommended);
    fates.retain(|id, (action, _)| action.is_some() || !without_room.contains(*id));
    check(&region.world(), &changes, fates, &drained_by_others, killed > 0.0)
}

/// What EC2 did to an instance last, and whether it is back.
fn fates(
    changes: &[(Duration, Change)],
    drain_on_rebalance: bool,
) -> BTreeMap<&str, (Option<Action>, bool)> {
    let mut fates = BTreeMap::new();
    for (_, change) in changes {
        match change {
            Change::Recommend { instance_id } if drain_on_rebalance => {
                fates.entry(instance_id.as_str()).or_insert((None, false));
            }
            Change::Interrupt { instance_id, action, return_after } => {
                let returns = *action != Action::Terminate && return_after.is_some();
                fates.insert(instance_id, (Some(*action), returns));
            }
            Change::Recommend { .. } | Change::DrainedByHand { .. } | Change::Fault { .. } => {}
        }
    }
    fates
}

fn check(
    world: &World,
    changes: &[(Duration, Change)],
    fates: BTreeMap<&str, (Option<Action>, bool)>,
    drained_by_others: &BTreeSet<String>,
    is_killed: bool,
) -> Result<(), String> {
    let queue = &world.delivery.queues[scenario::SPOT_DRAINER];
    if !queue.messages.is_empty() || (!queue.dead_letters.is_empty() && !is_killed) {
        return Err(format!("{:?} are left, {:?} dead", queue.messages, queue.dead_letters));
    }
    // A death between the drain and the mark leaves it without one, as does a mark that fails for
    // longer than its call is tried.
    let marks_fail = |change: &Change| matches!(change, Change::Fault { operation, .. } if *operation == "PutAttributes");
    let may_lack_mark = is_killed || changes.iter().any(|(_, change)| marks_fail(change));
    for (id, (action, is_back)) in fates {
        // What was killed four times is for people.
        if queue.dead_letters.iter().any(|message| message.body.contains(id)) {
            continue;
        }
        let registrations = world.registrations(id);
        for (index, (cluster, container_instance)) in registrations.iter().enumerate() {
            let instance = &world.clusters[cluster].instances[container_instance];
            let lives = index + 1 == registrations.len();
            let by_others = drained_by_others.contains(container_instance);
            let story = format!("{id}, {action:?}, back: {is_back}, {instance:?}");
            match instance.status {
                Status::Active if by_others => {
                    return Err(format!("not ours to take back: {story}"));
                }
                // Every container instance of it is drained, and comes back with its agent only.
                Status::Active if !is_back || !lives => {
                    return Err(format!("not drained: {story}"));
                }
                Status::Active if instance.attribute(DRAINED_BY).is_some() => {
                    return Err(format!("its mark is left: {story}"));
                }
                Status::Draining if is_back && lives && !by_others && !may_lack_mark => {
                    return Err(format!("not taken back: {story}"));
                }
                _ => {}
            }
        }
    }
    Ok(())
}

#[test]
fn what_must_hold_holds_for_every_seed() {
    seeds::run(SEEDS, &KEPT, |seed| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(play(seed))
    });
}
