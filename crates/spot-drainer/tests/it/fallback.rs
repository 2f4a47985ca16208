//! The on-demand fallback group: one more instance for each interrupted container instance.

use std::collections::BTreeSet;
use std::time::Duration;

use ebb_core::ids::{GroupName, TopicArn};
use ebb_core::spot::OutcomeKind;
use ebb_core::spot::settings::SpotSettings;
use ebb_region::fault::Fault;
use ebb_region::scenario;
use ebb_region::world::autoscaling::{Group, LaunchSource};
use futures_util::future::join_all;
use serde_json::Value;

use crate::support::{
    Sim, failed, instance_id, kinds, notice, notice_at, shop_settings, sqs, start_time,
};

/// A group that allows launches, and one that does not.
const SOURCES: [LaunchSource; 2] = [LaunchSource::Template, LaunchSource::Configuration];

const PEOPLE: &str = "arn:aws:sns:eu-west-1:111122223333:people";

fn settings() -> SpotSettings {
    SpotSettings {
        fallback_group: Some(GroupName::new(scenario::ON_DEMAND_GROUP)),
        notification_topic: Some(TopicArn::new(PEOPLE)),
        ..shop_settings()
    }
}

/// The shop with a changed fallback group.
async fn sim_with(change: impl FnOnce(&mut Group)) -> Sim {
    let mut world = scenario::shop(start_time(), 1);
    change(world.groups.get_mut(scenario::ON_DEMAND_GROUP).unwrap());
    Sim::start(world, settings()).await
}

async fn sim(source: LaunchSource) -> Sim {
    sim_with(|group| group.source = source).await
}

fn desired_capacity(sim: &Sim) -> i32 {
    sim.region.world().groups[scenario::ON_DEMAND_GROUP].desired_capacity
}

/// What people were told, subject and text.
fn told(sim: &Sim) -> Vec<(String, String)> {
    let published = sim.region.world().published.clone();
    published.into_iter().map(|sent| (sent.subject.unwrap_or_default(), sent.message)).collect()
}

fn notices(numbers: impl IntoIterator<Item = usize>) -> Value {
    sqs(&numbers.into_iter().map(|number| notice(&instance_id(number))).collect::<Vec<_>>())
}

#[tokio::test(start_paused = true)]
async fn each_interrupted_container_instance_raises_the_group_by_one() {
    for source in SOURCES {
        let sim = sim(source).await;
        sim.invoke(&notice(&instance_id(7))).await.unwrap();
        assert_eq!(desired_capacity(&sim), 7);

        sim.invoke(&sqs(&[notice(&instance_id(8)), notice(&instance_id(9)), notice("i-1a2b3c4d")]))
            .await
            .unwrap();
        assert_eq!(desired_capacity(&sim), 9, "an instance of no cluster is not counted");

        sim.run(Duration::from_secs(120)).await;
        let active =
            sim.region.world().instances_with(ebb_region::world::ecs::Status::Active).len();
        assert_eq!(active, 12 - 3 + 3, "and the new instances join the cluster");
    }
}

#[tokio::test(start_paused = true)]
async fn only_a_group_that_does_not_allow_launches_needs_claims() {
    let mixed = |on_demand_percentage| LaunchSource::Mixed { on_demand_percentage };
    for (source, launches) in [
        (LaunchSource::Template, true),
        (mixed(100), true),
        (mixed(0), true),
        (mixed(50), false),
        (LaunchSource::Configuration, false),
    ] {
        let sim = sim(source).await;
        sim.invoke(&notice(&instance_id(7))).await.unwrap();

        let is_called = |operation: &str| sim.calls().iter().any(|call| call == operation);
        assert_eq!(is_called("LaunchInstances"), launches, "{source:?}");
        assert_eq!(is_called("SetDesiredCapacity"), !launches, "{source:?}");
        assert_eq!(is_called("PutAttributes"), !launches, "{source:?}");
        assert_eq!(desired_capacity(&sim), 7, "{source:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_launch_that_is_refused_or_not_allowed_is_counted_by_a_claim() {
    let suspended = sim_with(|group| *group = group.clone().suspending(&["Launch"])).await;
    let denied = sim(LaunchSource::Template).await;
    denied.region.world().faults.plan("LaunchInstances", Fault::Denied, u32::MAX);
    for sim in [suspended, denied] {
        let answer = sim.invoke(&notices(7..=8)).await.unwrap();
        sim.invoke(&notices(7..=8)).await.unwrap();

        assert_eq!((failed(&answer), desired_capacity(&sim)), (vec![], 8));
    }
}

#[tokio::test(start_paused = true)]
async fn a_notice_that_is_delivered_again_counts_once() {
    for source in SOURCES {
        let sim = sim(source).await;
        sim.invoke(&notice(&instance_id(7))).await.unwrap();
        sim.invoke(&notice(&instance_id(7))).await.unwrap();
        sim.invoke(&notices([7, 7])).await.unwrap();

        assert_eq!(desired_capacity(&sim), 7, "{source:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn two_deliveries_at_the_same_time_count_once() {
    for (source, apart_ms) in
        SOURCES.into_iter().flat_map(|source| (0..400).step_by(10).map(move |ms| (source, ms)))
    {
        let sim = sim(source).await;
        let event = notice(&instance_id(7));
        let later = async {
            tokio::time::sleep(Duration::from_millis(apart_ms)).await;
            sim.invoke(&event).await
        };
        let (first, second) = tokio::join!(sim.invoke(&event), later);

        let case = format!("{source:?}, {apart_ms} ms apart");
        assert!(first.is_ok() && second.is_ok(), "{case}: {first:?}, {second:?}");
        assert_eq!(desired_capacity(&sim), 7, "{case}");
    }
}

/// One that dies between its claim and the raise leaves the count to the next delivery, which waits
/// until it may take the claim over.
#[tokio::test(start_paused = true)]
async fn what_an_invocation_claims_and_does_not_raise_the_next_delivery_raises() {
    let sim = sim(LaunchSource::Configuration).await;
    let event = notices([7]);
    let claimed = async {
        while !sim.calls().contains(&"PutAttributes".to_owned()) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::select! {
        biased;
        () = claimed => {}
        answer = sim.invoke(&event) => panic!("it was to die before: {answer:?}"),
    }
    assert_eq!(desired_capacity(&sim), 6);
    let answer = sim.invoke_for(Duration::from_secs(10), &event).await.unwrap();
    assert_eq!((failed(&answer), desired_capacity(&sim)), (vec!["m-0"], 6), "it may live yet");
    tokio::time::sleep(Duration::from_secs(25)).await;
    let answer = sim.invoke(&event).await.unwrap();
    assert_eq!((failed(&answer), desired_capacity(&sim)), (vec![], 7));
}

/// Two different notices read the same capacity. By claims one raise may be lost: see decision 007.
#[tokio::test(start_paused = true)]
async fn launches_for_two_notices_at_the_same_time_count_both() {
    let sim = sim(LaunchSource::Template).await;
    let (first, second) = (notice(&instance_id(7)), notice(&instance_id(8)));
    let (first, second) = tokio::join!(sim.invoke(&first), sim.invoke(&second));

    assert!(first.is_ok() && second.is_ok(), "{first:?}, {second:?}");
    assert_eq!(desired_capacity(&sim), 8);
}

#[tokio::test(start_paused = true)]
async fn the_group_is_never_raised_above_its_maximum_and_people_learn_that() {
    for source in SOURCES {
        let sim = sim(source).await;
        let answer = sim.invoke(&notices(7..=12)).await.unwrap();

        assert_eq!(kinds(&answer), [OutcomeKind::Draining; 6]);
        assert_eq!((failed(&answer), desired_capacity(&sim)), (vec![], 10));
        let reasons = answer.outcomes.iter().filter_map(|outcome| outcome.reason.as_deref());
        let full = "not replaced: fallback group shop-on-demand has no room";
        assert_eq!(reasons.filter(|reason| reason.contains(full)).count(), 2, "{source:?}");
        let [(drains, tasks), (cannot, why)] = &told(&sim)[..] else { panic!("{:?}", told(&sim)) };
        assert_eq!(drains, "Ebb drains 6 container instances");
        assert!(tasks.contains("Tasks: 16 tasks on what is drained"), "{tasks}");
        assert_eq!(cannot, "Ebb cannot replace 2 interrupted instances");
        let reason = "\n2 interrupted instances not replaced: fallback group shop-on-demand has no \
                      room: its desired capacity was 6 of at most 10, and each counts as 1\n";
        assert!(why.contains(reason), "{why}");
        for text in [tasks, why] {
            let place = "Cluster: shop\nAccount: 111122223333\nRegion: eu-west-1\n";
            assert!(text.contains(place), "{text}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_group_at_its_maximum_is_told_once_an_hour_whatever_is_interrupted() {
    for source in SOURCES {
        let sim = sim_with(|group| {
            group.source = source;
            group.max_size = group.desired_capacity;
        })
        .await;
        let cannot = || told(&sim).iter().filter(|(title, _)| title.contains("cannot")).count();
        for (number, pause, expected) in [(7, 0, 1), (8, 600, 1), (9, 2_400, 1), (10, 601, 2)] {
            tokio::time::sleep(Duration::from_secs(pause)).await;
            // Delivered twice, and about one more instance.
            for _ in 0..2 {
                let event = notice_at(&instance_id(number), sim.region.now());
                sim.invoke(&sqs(&[event])).await.unwrap();
            }
            assert_eq!(cannot(), expected, "{source:?}, {number}");
        }
        assert_eq!(told(&sim).len(), 2 + 4, "what is drained is told each time");
    }
}

#[tokio::test(start_paused = true)]
async fn of_two_interruptions_at_once_one_tells_that_the_group_is_at_its_maximum() {
    let sim = sim_with(|group| group.max_size = group.desired_capacity).await;
    let (first, second) = (notices([7]), notices([8]));
    let (first, second) = tokio::join!(sim.invoke(&first), sim.invoke(&second));

    assert!(first.is_ok() && second.is_ok(), "{first:?}, {second:?}");
    assert_eq!(told(&sim).iter().filter(|(title, _)| title.contains("cannot")).count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_group_with_weights_is_raised_by_what_one_of_its_instances_counts() {
    for source in SOURCES {
        let sim = sim_with(|group| {
            (group.weight, group.desired_capacity, group.max_size) = (Some(4), 24, 34);
            group.source = source;
        })
        .await;
        sim.invoke(&notice(&instance_id(7))).await.unwrap();
        sim.invoke(&notice(&instance_id(7))).await.unwrap();
        assert_eq!(desired_capacity(&sim), 28, "{source:?}");
        sim.invoke(&notices([8])).await.unwrap();
        assert_eq!(desired_capacity(&sim), 32, "{source:?}");
        let launched = sim.region.world().groups[scenario::ON_DEMAND_GROUP].instances.len() - 6;
        assert_eq!(launched, 2, "one instance for each that is interrupted");
    }
}

#[tokio::test(start_paused = true)]
async fn an_instance_is_counted_once_even_if_the_group_counts_otherwise_by_then() {
    let sim = sim(LaunchSource::Template).await;
    sim.invoke(&notice(&instance_id(7))).await.unwrap();
    sim.region.world().groups.get_mut(scenario::ON_DEMAND_GROUP).unwrap().weight = Some(2);
    let answer = sim.invoke(&notices([7])).await.unwrap();

    assert_eq!((failed(&answer), desired_capacity(&sim)), (vec![], 7));
}

#[tokio::test(start_paused = true)]
async fn people_learn_that_ec2_has_no_capacity_and_the_group_keeps_trying() {
    let sim = sim_with(|group| group.ec2_has_capacity = false).await;
    let answer = sim.invoke(&notices([7])).await.unwrap();

    assert_eq!((failed(&answer), desired_capacity(&sim)), (vec![], 7));
    let reason = answer.outcomes[0].reason.as_deref().unwrap_or_default();
    assert!(reason.contains("; not replaced: EC2 had no instance for fallback group"), "{reason}");
    let [_, (subject, text)] = &told(&sim)[..] else { panic!("{:?}", told(&sim)) };
    assert_eq!(subject, "Ebb cannot replace 1 interrupted instance");
    let reason = "\n1 interrupted instance not replaced: EC2 had no instance for fallback group \
                  shop-on-demand, which keeps trying: InsufficientInstanceCapacity (m";
    assert!(text.contains(reason), "{text}");
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_its_agent_drained_first_is_counted_too() {
    let sim = sim(LaunchSource::Template).await;
    {
        let mut world = sim.region.world();
        let id = world.container_instance(&instance_id(7)).unwrap().1.id.clone();
        world.set_status("shop", &id, ebb_region::world::ecs::Status::Draining);
    }
    assert_eq!(sim.outcome(&notice(&instance_id(7))).await.outcome, OutcomeKind::AlreadyDraining);
    assert_eq!(desired_capacity(&sim), 7);
}

/// Deliveries that overlap, are cut off, and repeat each other, with launches whose answers are lost.
/// By launches a group never grows by more than was interrupted; nor by less, once every notice was
/// delivered to the end.
#[tokio::test(start_paused = true)]
async fn launches_count_each_interrupted_instance_exactly_once() {
    const WEIGHT: i32 = 4;
    let faults = [Fault::AnswerLost, Fault::Timeout, Fault::ServerError, Fault::Throttle];
    for seed in 0..40 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let sim = sim_with(|group| {
            (group.weight, group.desired_capacity, group.max_size) = (Some(4), 24, 100);
        })
        .await;
        for _ in 0..rng.usize(..4) {
            let fault = faults[rng.usize(..faults.len())];
            sim.region.world().faults.plan("LaunchInstances", fault, 1);
        }
        let mut interrupted = BTreeSet::new();
        let mut deliveries = Vec::new();
        for _ in 0..rng.usize(1..6) {
            let numbers: Vec<_> = (0..rng.usize(1..4)).map(|_| rng.usize(7..=10)).collect();
            interrupted.extend(numbers.iter().copied());
            let starts = Duration::from_millis(rng.u64(..3_000));
            let cut_off = Duration::from_millis(rng.u64(1..6_000));
            let sim = &sim;
            deliveries.push(async move {
                tokio::time::sleep(starts).await;
                let _ = tokio::time::timeout(cut_off, sim.invoke(&notices(numbers))).await;
            });
        }
        join_all(deliveries).await;
        let too_many = desired_capacity(&sim) - 24 - WEIGHT * count(&interrupted);
        assert!(too_many <= 0, "seed {seed}: {too_many} too many");

        let answer = sim.invoke(&notices(interrupted.iter().copied())).await.unwrap();
        assert_eq!(failed(&answer), Vec::<&str>::new(), "seed {seed}");
        assert_eq!(desired_capacity(&sim), 24 + WEIGHT * count(&interrupted), "seed {seed}");
    }
}

fn count(interrupted: &BTreeSet<usize>) -> i32 {
    i32::try_from(interrupted.len()).unwrap()
}
#[tokio::test(start_paused = true)]
async fn an_answer_that_is_lost_raises_the_group_once() {
    for fault in Fault::TRANSIENT {
        let sim = sim(LaunchSource::Configuration).await;
        sim.region.world().faults.plan("SetDesiredCapacity", fault, 1);
        sim.invoke(&notice(&instance_id(7))).await.unwrap();
        assert_eq!(desired_capacity(&sim), 7, "{fault:?}");
    }
}

/// An operator, or cluster auto scaling, between the look at the group and the raise: set to less, the
/// group would terminate instances by itself.
#[tokio::test(start_paused = true)]
async fn a_group_that_somebody_else_raises_meanwhile_is_not_lowered() {
    let sim = sim(LaunchSource::Configuration).await;
    // The claim is written once the group was looked at, and before it is raised.
    let is_claimed = || {
        let world = sim.region.world();
        let calls = world.calls.iter().map(|call| call.operation.as_str());
        calls
            .skip_while(|call| *call != "DescribeAutoScalingGroups")
            .any(|it| it == "PutAttributes")
    };
    let raised = async {
        while !is_claimed() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        sim.region.world().set_desired_capacity(scenario::ON_DEMAND_GROUP, 9).unwrap();
    };
    let payload = notice(&instance_id(7));
    let (answer, ()) = tokio::join!(sim.invoke(&payload), raised);
    answer.unwrap();
    assert_eq!(desired_capacity(&sim), 9);
}

/// It is retried as often as the SDK does, and once more.
#[tokio::test(start_paused = true)]
async fn a_raise_that_cannot_be_marked_as_counted_at_once_counts_once() {
    let sim = sim(LaunchSource::Configuration).await;
    let raised = async {
        while desired_capacity(&sim) == 6 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        sim.region.world().faults.plan("PutAttributes", Fault::Throttle, 6);
    };
    let payload = notice(&instance_id(7));
    let (answer, ()) = tokio::join!(sim.invoke(&payload), raised);
    answer.unwrap();
    assert_eq!(desired_capacity(&sim), 7);
    sim.invoke(&payload).await.unwrap();
    assert_eq!(desired_capacity(&sim), 7, "it is marked as counted");
}
