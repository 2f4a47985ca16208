//! What becomes of an instance that EC2 recommends to rebalance: drained before any interruption if
//! the rest of its cluster has room, and left with a reason if not.

use std::collections::BTreeSet;
use std::time::Duration;

use ebb_aws::{Clients, ErrorType, Groups, Observer, clients::config_loader};
use ebb_core::ids::{Cluster, GroupName, InstanceId, TopicArn};
use ebb_core::spot::settings::SpotSettings;
use ebb_core::spot::{Outcome, OutcomeKind};
use ebb_planner::{Inventory, KEEP_ATTRIBUTE, Policy, TaskHeadroom, plan};
use ebb_region::fault::Fault;
use ebb_region::world::World;
use ebb_region::world::autoscaling::Group;
use ebb_region::world::ecs::{
    CapacityProvider, NewInstance, ServiceKind, Status, StrategyItem, TaskSpec,
};
use ebb_region::world::spot::Action;
use ebb_region::{Region, scenario};
use fastrand::Rng;
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::support::{
    Sim, TIMEOUT, failed, instance_id, kinds, notice, shop_settings, sqs, start_time,
};

fn recommended(instance_id: &str) -> Value {
    let mut event = notice(instance_id);
    event["detail-type"] = json!("EC2 Instance Rebalance Recommendation");
    event["detail"] = json!({"instance-id": instance_id});
    event
}

fn early() -> SpotSettings {
    SpotSettings { drain_on_rebalance: true, ..shop_settings() }
}

/// So many instances that hold two tasks of `web` each at most, and this many of them in all.
fn cluster(instances: usize, tasks: usize) -> World {
    let mut world = World::new(start_time(), 1);
    for number in 1..=instances {
        world.add_instance("shop", NewInstance::new(instance_id(number)));
    }
    // CPU alone is scarce: the certificate takes two resources together for a little more.
    let web = TaskSpec { cpu: 1_024, memory_mib: 6, ..TaskSpec::default() };
    world.add_service("shop", "web", ServiceKind::replica(tasks), web);
    world.add_service(
        "shop",
        "logs",
        ServiceKind::Daemon,
        TaskSpec { cpu: 0, ..TaskSpec::default() },
    );
    world
}

/// How many tasks of replica services run or are to run on an instance.
fn tasks_on(world: &World, instance_id: &str) -> usize {
    let cluster = &world.clusters["shop"];
    let (_, instance) = world.container_instance(instance_id).unwrap();
    let tasks = cluster.tasks_on(&instance.id).filter(|task| task.is_desired_running());
    tasks.filter(|task| task.service.as_deref() == Some("web")).count()
}

/// An instance with so many tasks of `web`.
fn with_tasks(world: &World, tasks: usize) -> String {
    let mut ids = world.clusters["shop"].instances.values().map(|it| it.instance_id.clone());
    ids.find(|id| tasks_on(world, id) == tasks).unwrap()
}

fn kind_and_reason(outcome: Outcome) -> (OutcomeKind, String) {
    (outcome.outcome, outcome.reason.unwrap())
}

#[tokio::test(start_paused = true)]
async fn with_room_it_is_drained_and_its_tasks_run_elsewhere_when_the_interruption_comes() {
    let sim = Sim::shop_with_queue(early()).await;
    let id = instance_id(9);
    sim.region.world().recommend_rebalance(&id);
    sim.run(Duration::from_secs(300)).await;
    assert_eq!(sim.draining(), std::slice::from_ref(&id));
    {
        let world = sim.region.world();
        let (_, instance) = world.container_instance(&id).unwrap();
        let mut left = world.clusters["shop"].tasks_on(&instance.id);
        assert!(left.all(|task| task.service.as_deref() == Some("logs")), "before any notice");
    }
    sim.region.world().interrupt(&id, Action::Terminate);
    sim.run(Duration::from_secs(1_800)).await;
    assert!(sim.region.world().tasks_cut_off().is_empty());
}

#[tokio::test(start_paused = true)]
async fn without_room_it_is_left_and_the_answer_says_what_finds_no_place() {
    let sim = Sim::start(cluster(2, 4), early()).await;
    let id = instance_id(1);
    let outcome = sim.outcome(&recommended(&id)).await;
    assert_eq!(outcome.cluster.as_deref(), Some("shop"));
    let (kind, reason) = kind_and_reason(outcome);
    assert_eq!(kind, OutcomeKind::NoRoom);
    assert!(reason.starts_with("rebalance recommendation; "), "{reason}");
    assert!(reason.contains("service web"), "{reason}");
    assert_eq!(sim.draining(), [""; 0]);

    assert_eq!(sim.outcome(&notice(&id)).await.outcome, OutcomeKind::Draining, "interrupted");
}

#[tokio::test(start_paused = true)]
async fn one_does_not_take_the_room_of_another() {
    // Two tasks, one, one and one: there is room for one instance to go.
    for together in [false, true] {
        let world = cluster(4, 5);
        let mut ids: Vec<_> = (1..=4).map(instance_id).collect();
        ids.retain(|id| tasks_on(&world, id) == 1);
        let events = [recommended(&ids[0]), recommended(&ids[1])];
        let sim = Sim::start(world, early()).await;
        let mut outcomes = if together {
            kinds(&sim.invoke(&sqs(&events)).await.unwrap())
        } else {
            // The tasks of the first are on their way when the second comes.
            let first = sim.outcome(&events[0]).await.outcome;
            vec![first, sim.outcome(&events[1]).await.outcome]
        };
        outcomes.sort();
        assert_eq!(outcomes, [OutcomeKind::Draining, OutcomeKind::NoRoom], "{together}");
        assert_eq!(sim.draining().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_recommended_as_well_is_no_room() {
    // Each has room on the other, and on nothing else.
    let sim = Sim::start(cluster(2, 2), early()).await;
    let events = [1, 2].map(|number| recommended(&instance_id(number)));
    let answer = sim.invoke(&sqs(&events)).await.unwrap();
    assert_eq!(kinds(&answer), [OutcomeKind::NoRoom; 2]);
    assert_eq!(sim.outcome(&events[0]).await.outcome, OutcomeKind::Draining, "alone");
}

#[tokio::test(start_paused = true)]
async fn room_counts_on_the_capacity_provider_that_ecs_may_choose() {
    for (others, expected) in [
        (["on-demand", "on-demand"], OutcomeKind::NoRoom),
        (["on-demand", "spot"], OutcomeKind::Draining),
    ] {
        let mut world = cluster(1, 2);
        for (number, _) in (2..).zip(others) {
            world.add_instance("shop", NewInstance::new(instance_id(number)));
        }
        for name in ["spot", "on-demand"] {
            let numbers = (1..=3).filter(|&number| {
                let own = if number == 1 { "spot" } else { others[number - 2] };
                own == name
            });
            let group = Group::with_instances("shop", numbers.map(instance_id));
            let size = group.desired_capacity;
            world.add_group(name, Group { min_size: size, max_size: 10, ..group });
            world.attach_capacity_provider("shop", name, CapacityProvider::for_group(name));
        }
        world.set_strategy("shop", "web", vec![StrategyItem::new("spot", 0, 1)]);
        let sim = Sim::start(world, early()).await;
        let (kind, reason) = kind_and_reason(sim.outcome(&recommended(&instance_id(1))).await);
        assert_eq!(kind, expected, "{reason}");
    }
}

#[tokio::test(start_paused = true)]
async fn with_daemon_tasks_alone_it_needs_no_room() {
    let sim = Sim::start(cluster(1, 0), early()).await;
    let outcome = sim.outcome(&recommended(&instance_id(1))).await;
    assert_eq!(outcome.outcome, OutcomeKind::Draining);
}

#[tokio::test(start_paused = true)]
async fn a_standalone_task_keeps_it_from_no_drain_and_runs_on() {
    let mut world = cluster(2, 1);
    let id = with_tasks(&world, 1);
    let arn = world.container_instance(&id).unwrap().1.id.clone();
    let task = world.run_task("shop", &arn, "report", TaskSpec::default());
    let sim = Sim::start(world, early()).await;
    assert_eq!(sim.outcome(&recommended(&id)).await.outcome, OutcomeKind::Draining);
    sim.run(Duration::from_secs(600)).await;
    assert!(sim.region.world().clusters["shop"].tasks[&task].is_desired_running());
}

#[tokio::test(start_paused = true)]
async fn what_keeps_it_from_a_sweep_keeps_it_from_no_drain() {
    let mut world = cluster(2, 1);
    let id = with_tasks(&world, 1);
    let arn = world.container_instance(&id).unwrap().1.id.clone();
    world.put_attribute("shop", &arn, KEEP_ATTRIBUTE, "");
    world.put_attribute("shop", &arn, "ebb.hold-until", "forever");
    let mut group = Group::with_instances("shop", [id.clone()]);
    group.tags.insert("ebb:keep".to_owned(), String::new());
    world.add_group("spot", Group { min_size: 1, max_size: 1, ..group });
    let tags = &mut world.clusters.get_mut("shop").unwrap().tags;
    tags.insert("ebb:hold-until".to_owned(), "forever".to_owned());
    let sim = Sim::start(world, early()).await;
    let (kind, reason) = kind_and_reason(sim.outcome(&recommended(&id)).await);
    assert_eq!(kind, OutcomeKind::Draining, "{reason}");
}

#[tokio::test(start_paused = true)]
async fn many_that_drain_already_take_no_share_from_it() {
    let mut world = cluster(6, 0);
    for number in 2..=5 {
        let id = world.container_instance(&instance_id(number)).unwrap().1.id.clone();
        world.set_status("shop", &id, Status::Draining);
    }
    let sim = Sim::start(world, early()).await;
    let (kind, reason) = kind_and_reason(sim.outcome(&recommended(&instance_id(1))).await);
    assert_eq!(kind, OutcomeKind::Draining, "{reason}");
}

#[tokio::test(start_paused = true)]
async fn one_of_no_cluster_costs_one_look_up() {
    let sim = Sim::start(cluster(2, 1), early()).await;
    let outcome = sim.outcome(&recommended("i-0fedcba9876543210")).await;
    assert_eq!(outcome.outcome, OutcomeKind::NotInCluster);
    let list = "ListContainerInstances";
    assert_eq!(sim.calls(), [list, list], "the ACTIVE ones, then all");
}

#[tokio::test(start_paused = true)]
async fn a_second_delivery_changes_nothing_and_asks_again_where_there_was_no_room() {
    let sim = Sim::start(cluster(3, 2), early()).await;
    let event = recommended(&instance_id(1));
    assert_eq!(sim.outcome(&event).await.outcome, OutcomeKind::Draining);
    let calls = sim.calls().len();
    assert_eq!(sim.outcome(&event).await.outcome, OutcomeKind::AlreadyDraining);
    let second = &sim.calls()[calls..];
    assert!(second.iter().all(|call| call.ends_with("ContainerInstances")), "{second:?}");

    let sim = Sim::start(cluster(2, 4), early()).await;
    assert_eq!(sim.outcome(&event).await.outcome, OutcomeKind::NoRoom);
    sim.region.world().add_instance("shop", NewInstance::new(instance_id(3)));
    assert_eq!(sim.outcome(&event).await.outcome, OutcomeKind::Draining, "there is room by now");
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_says_what_it_would_do_and_changes_nothing() {
    for (tasks, expected) in [(2, OutcomeKind::WouldDrain), (4, OutcomeKind::NoRoom)] {
        let settings = SpotSettings { dry_run: true, ..early() };
        let sim = Sim::start(cluster(2, tasks), settings).await;
        assert_eq!(sim.outcome(&recommended(&instance_id(1))).await.outcome, expected);
        assert_eq!(sim.draining(), [""; 0]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_notice_in_the_same_batch_does_not_wait_for_the_look_at_the_cluster() {
    let fallback_group = Some(GroupName::new(scenario::ON_DEMAND_GROUP));
    let settings = SpotSettings { fallback_group, ..early() };
    let sim = Sim::start(scenario::shop(start_time(), 1), settings).await;
    sim.region.world().faults.plan("ListServices", Fault::Timeout, 1_000);
    let [slow, fast] = [7, 8].map(instance_id);
    let answer = sim.invoke(&sqs(&[recommended(&slow), notice(&fast)])).await.unwrap();

    assert_eq!((kinds(&answer), failed(&answer)), (vec![OutcomeKind::Draining], vec!["m-0"]));
    assert_eq!(sim.draining(), [fast]);
    let world = sim.region.world();
    for operation in ["UpdateContainerInstancesState", "LaunchInstances"] {
        let call = world.calls.iter().find(|call| call.operation == operation);
        let took = call.unwrap().time.duration_since(start_time());
        assert!(took < SignedDuration::from_secs(1), "{operation} after {took}");
    }
}

#[tokio::test(start_paused = true)]
async fn people_hear_of_an_interruption_before_the_cluster_of_a_recommendation_is_read() {
    let people = "arn:aws:sns:eu-west-1:111122223333:people";
    let settings = SpotSettings { notification_topic: Some(TopicArn::new(people)), ..early() };
    let sim = Sim::start(scenario::shop(start_time(), 1), settings).await;
    sim.region.world().faults.plan("ListServices", Fault::Timeout, 1_000);
    let events = [recommended(&instance_id(7)), notice(&instance_id(8))];
    let answer = sim.invoke(&sqs(&events)).await.unwrap();

    assert_eq!((kinds(&answer), failed(&answer)), (vec![OutcomeKind::Draining], vec!["m-0"]));
    let world = sim.region.world();
    let [told] = &world.published[..] else { panic!("{:?}", world.published) };
    let after = told.time.duration_since(start_time());
    assert!(after < SignedDuration::from_secs(2), "{after}");
    assert!(told.message.contains(&instance_id(8)), "{}", told.message);
}

/// What a recommendation reads beside what every notice does.
const READS: [&str; 8] = [
    "DescribeAutoScalingGroups",
    "DescribeContainerInstances",
    "DescribeClusters",
    "ListServices",
    "DescribeServices",
    "ListTasks",
    "DescribeTasks",
    "DescribeTaskDefinition",
];

#[tokio::test(start_paused = true)]
async fn a_cluster_that_cannot_be_read_is_none_without_room() {
    for operation in READS {
        for fault in Fault::TRANSIENT.into_iter().chain([Fault::Denied]) {
            let sim = Sim::start(cluster(3, 2), early()).await;
            sim.region.world().faults.plan(operation, fault, u32::MAX);
            let event = sqs(&[recommended(&instance_id(1))]);
            let answer = sim.invoke(&event).await.unwrap();
            assert_eq!(failed(&answer), ["m-0"], "{operation}, {fault:?}: {answer:?}");
            assert!(answer.outcomes.is_empty(), "{operation}, {fault:?}: {answer:?}");
            assert_eq!(sim.draining(), [""; 0]);
            let took = sim.region.now().duration_since(start_time());
            assert!(took < SignedDuration::try_from(TIMEOUT).unwrap(), "{operation}: {took}");
        }
    }
    let sim = Sim::start(cluster(3, 2), early()).await;
    sim.region.world().faults.plan("ListServices", Fault::Denied, u32::MAX);
    let error = sim.invoke(&recommended(&instance_id(1))).await.unwrap_err();
    assert_eq!(error.error_type, ErrorType::AwsDenied);
}

#[tokio::test(start_paused = true)]
async fn a_fault_that_passes_is_tried_again_within_the_invocation() {
    for operation in READS {
        for fault in Fault::TRANSIENT {
            let sim = Sim::start(cluster(3, 2), early()).await;
            sim.region.world().faults.plan(operation, fault, 1);
            let outcome = sim.outcome(&recommended(&instance_id(1))).await;
            assert_eq!(outcome.outcome, OutcomeKind::Draining, "{operation}, {fault:?}");
        }
    }
}

/// Some instances, and services of several sizes on them.
fn draw(seed: u64) -> (World, String) {
    let mut rng = Rng::with_seed(seed);
    let instances = rng.usize(2..7);
    let mut world = World::new(start_time(), seed);
    for number in 1..=instances {
        let zone = ["a", "b"][rng.usize(..2)];
        let new_instance = NewInstance::new(instance_id(number));
        world.add_instance("shop", new_instance.zone(format!("eu-west-1{zone}")));
    }
    for name in ["web", "worker", "batch"] {
        let spec = TaskSpec { cpu: [256, 512, 1_024][rng.usize(..3)], ..TaskSpec::default() };
        let min_percent = [50, 100][rng.usize(..2)];
        let desired = rng.usize(..=instances * 3 / 2);
        let kind = ServiceKind::Replica { desired, min_percent, max_percent: 200 };
        world.add_service("shop", name, kind, spec);
    }
    (world, instance_id(1 + rng.usize(..instances)))
}

/// Whether the planner lets this one instance go for certain, whatever its group and the headroom.
async fn planner_lets_go(region: &Region, id: &str) -> bool {
    let clients = Clients::new(&region.connect(config_loader()).await);
    let observer = Observer::new(&clients, clients.ecs.clone(), TaskHeadroom::default());
    let (groups, now) = (Groups::from(Vec::new()), region.now());
    let mut inventory = observer.instances(&Cluster::new("shop"), &groups, now).await.unwrap();
    let all = |inventory: &Inventory| (0..inventory.instances.len()).collect();
    observer.add_services_and_tasks(&mut inventory, all).await.unwrap();
    let id = InstanceId::parse(id).unwrap();
    let group = GroupName::new("any");
    let any = ebb_planner::Group { desired_capacity: 1_000, ..Default::default() };
    inventory.groups.insert(group.clone(), any);
    for instance in &mut inventory.instances {
        instance.group = Some(group.clone());
        instance.lifecycle_state = ebb_core::auto_scaling::LifecycleState::InService;
        if instance.instance_id != id {
            instance.attributes.insert(KEEP_ATTRIBUTE.to_owned(), String::new());
        }
    }
    let policy = Policy {
        headroom_cpu_percent: 0,
        headroom_memory_percent: 0,
        max_removals_percent: 100,
        min_instances: 0,
        min_instance_age: SignedDuration::ZERO,
        keep_zone_balance: false,
        ..Policy::default()
    };
    let plan = plan(&inventory, &policy, now);
    plan.remove.iter().any(|removal| removal.instance_id == id && removal.reason.is_certain())
}

#[test]
fn the_answer_is_the_planners_and_every_task_finds_a_place() {
    let mut drained = BTreeSet::new();
    for seed in 1..=60 {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        let is_drained = runtime.block_on(async {
            let (world, id) = draw(seed);
            let wanted: Vec<_> =
                world.clusters["shop"].tasks.values().map(|task| task.service.clone()).collect();
            let sim = Sim::start(world, early()).await;
            let expected = planner_lets_go(&sim.region, &id).await;
            let outcome = sim.outcome(&recommended(&id)).await;
            let drains = outcome.outcome == OutcomeKind::Draining;
            assert_eq!(drains, expected, "seed {seed}: {outcome:?}");
            assert!(drains || outcome.outcome == OutcomeKind::NoRoom, "seed {seed}: {outcome:?}");
            sim.run(Duration::from_secs(600)).await;
            let world = sim.region.world();
            let (_, instance) = world.container_instance(&id).unwrap();
            let cluster = &world.clusters["shop"];
            let running = cluster.tasks.values().filter(|task| task.is_desired_running());
            let placed = running.filter(|task| {
                !task.container_instance.is_empty()
                    && (!drains || task.container_instance != instance.id)
            });
            assert_eq!(placed.count(), wanted.len(), "seed {seed}");
            drains
        });
        drained.insert(is_drained);
    }
    assert_eq!(drained.len(), 2, "some have room, and some have none");
}

#[tokio::test(start_paused = true)]
async fn a_cluster_of_hundreds_is_read_within_the_request_rates() {
    let mut world = cluster(300, 1);
    for number in 0..100 {
        let (name, kind) = (format!("service-{number}"), ServiceKind::replica(1));
        world.add_service("shop", &name, kind, TaskSpec::default());
    }
    let id = with_tasks(&world, 1);
    let sim = Sim::start(world, early()).await;
    assert_eq!(sim.outcome(&recommended(&id)).await.outcome, OutcomeKind::Draining);
    let took = sim.region.now().duration_since(start_time());
    assert!(took < SignedDuration::from_secs(5), "{took}");
    let throttled = sim.region.world().calls.iter().filter(|call| call.error.is_some()).count();
    assert_eq!(throttled, 0, "others need the request rates as well");
}
