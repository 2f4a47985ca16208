//! A fallback group for each Spot group: raised by what that has not replaced itself, and tagged with
//! what it was before.

use ebb_core::spot::settings::SpotSettings;
use ebb_region::fault::Fault;
use ebb_region::scenario;
use ebb_region::world::autoscaling::{Instance, LaunchSource, LifecycleState};
use ebb_region::world::ecs::NewInstance;
use ebb_region::world::{REGION, World};
use serde_json::Value;

use crate::support::{Sim, failed, instance_id, notice, sqs, start_time};

const SOURCES: [LaunchSource; 2] = [LaunchSource::Template, LaunchSource::Configuration];

fn settings(fallback_asg: Option<&str>) -> SpotSettings {
    let pairs = format!(r#"{{"{}": "{}"}}"#, scenario::SPOT_GROUP, scenario::ON_DEMAND_GROUP);
    SpotSettings::from_lookup(|variable| match variable {
        "ECS_CLUSTERS" => Some("shop".to_owned()),
        "FALLBACK_AUTO_SCALING_GROUPS" => Some(pairs.clone()),
        "FALLBACK_ASG" => fallback_asg.map(str::to_owned),
        _ => None,
    })
    .unwrap()
}

async fn sim_with(source: LaunchSource, change: impl FnOnce(&mut World)) -> Sim {
    let mut world = scenario::shop(start_time(), 1);
    world.groups.get_mut(scenario::ON_DEMAND_GROUP).unwrap().source = source;
    change(&mut world);
    Sim::start(world, settings(None)).await
}

/// Adds an instance that the Spot group has launched beyond what it wants.
fn add_replacement(world: &mut World, state: LifecycleState) {
    let id = instance_id(13);
    if state == LifecycleState::InService {
        world.add_instance("shop", NewInstance::new(&id).zone(format!("{REGION}a")));
    }
    let group = world.groups.get_mut(scenario::SPOT_GROUP).unwrap();
    group.instances.push(Instance { state, ..Instance::in_service(id) });
}

fn desired_capacity(sim: &Sim) -> i32 {
    sim.region.world().groups[scenario::ON_DEMAND_GROUP].desired_capacity
}

fn tag(sim: &Sim) -> Option<String> {
    sim.region.world().groups[scenario::ON_DEMAND_GROUP].tags.get("ebb:fallback").cloned()
}

fn notices(numbers: impl IntoIterator<Item = usize>) -> Value {
    sqs(&numbers.into_iter().map(|number| notice(&instance_id(number))).collect::<Vec<_>>())
}

#[tokio::test(start_paused = true)]
async fn the_fallback_group_of_a_spot_group_is_raised_and_remembers_what_it_was() {
    for source in SOURCES {
        let sim = sim_with(source, |_| {}).await;
        sim.invoke(&notice(&instance_id(7))).await.unwrap();
        assert_eq!((desired_capacity(&sim), tag(&sim)), (7, Some("6".to_owned())));

        sim.invoke(&notices([7, 8, 9])).await.unwrap();
        sim.invoke(&notice(&instance_id(8))).await.unwrap();
        assert_eq!((desired_capacity(&sim), tag(&sim)), (9, Some("6".to_owned())), "{source:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_notice_costs_two_calls_more_than_with_one_group_and_the_first_raise_a_tag() {
    let sim = sim_with(LaunchSource::Template, |_| {}).await;
    sim.invoke(&notice(&instance_id(7))).await.unwrap();
    let first = sim.calls();
    let calls = [
        "ListContainerInstances",
        "UpdateContainerInstancesState",
        "DescribeAutoScalingInstances",
        "DescribeAutoScalingGroups",
        "DescribeAutoScalingGroups",
        "CreateOrUpdateTags",
        "LaunchInstances",
    ];
    assert_eq!(first, calls);
    sim.invoke(&notice(&instance_id(8))).await.unwrap();
    assert_eq!(sim.calls().len() - first.len(), 6);
}

#[tokio::test(start_paused = true)]
async fn an_instance_of_another_group_counts_into_the_fallback_group_of_all_others() {
    let sim = sim_with(LaunchSource::Template, |_| {}).await;
    let answer = sim.invoke(&notices([1])).await.unwrap();
    assert_eq!((failed(&answer), desired_capacity(&sim), tag(&sim)), (vec![], 6, None));
    assert_eq!(sim.draining(), [instance_id(1)]);

    let mut world = scenario::shop(start_time(), 1);
    let others = world.groups[scenario::ON_DEMAND_GROUP].clone();
    world.add_group(
        "others",
        ebb_region::world::autoscaling::Group {
            instances: Vec::new(),
            desired_capacity: 0,
            min_size: 0,
            ..others
        },
    );
    let sim = Sim::start(world, settings(Some("others"))).await;
    sim.invoke(&notices([1, 7])).await.unwrap();
    assert_eq!(desired_capacity(&sim), 7);
    let others = sim.region.world().groups["others"].clone();
    assert_eq!((others.desired_capacity, others.tags.len()), (1, 0), "it does not come back");
}

#[tokio::test(start_paused = true)]
async fn what_its_group_has_replaced_is_not_counted_and_no_replacement_counts_twice() {
    for state in [LifecycleState::InService, LifecycleState::Pending] {
        let sim = sim_with(LaunchSource::Template, |world| add_replacement(world, state)).await;
        let answer = sim.invoke(&notices([7])).await.unwrap();
        assert_eq!((failed(&answer), desired_capacity(&sim), tag(&sim)), (vec![], 6, None));

        // The first is DRAINING, and in service for as long as EC2 leaves it.
        sim.invoke(&notices([8])).await.unwrap();
        assert_eq!(desired_capacity(&sim), 7, "{state:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_fault_that_passes_neither_loses_a_raise_nor_what_the_group_was() {
    for operation in [
        "DescribeAutoScalingInstances",
        "DescribeAutoScalingGroups",
        "CreateOrUpdateTags",
        "LaunchInstances",
    ] {
        for fault in Fault::TRANSIENT {
            let sim = sim_with(LaunchSource::Template, |_| {}).await;
            sim.region.world().faults.plan(operation, fault, 1);
            let answer = sim.invoke(&notices([7])).await.unwrap();

            let case = format!("{operation}, {fault:?}");
            assert!(sim.calls().iter().any(|call| call == operation), "{case}");
            assert_eq!(failed(&answer), Vec::<&str>::new(), "{case}");
            assert_eq!((desired_capacity(&sim), tag(&sim)), (7, Some("6".to_owned())), "{case}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_fault_that_stays_is_delivered_again_and_a_tag_that_is_denied_stops_no_raise() {
    for fault in Fault::TRANSIENT.into_iter().chain([Fault::Denied]) {
        let sim = sim_with(LaunchSource::Template, |_| {}).await;
        sim.region.world().faults.plan("DescribeAutoScalingInstances", fault, u32::MAX);
        let answer = sim.invoke(&notices([7])).await.unwrap();
        assert_eq!((failed(&answer).len(), desired_capacity(&sim)), (1, 6), "{fault:?}");
        assert_eq!(sim.draining(), [instance_id(7)], "{fault:?}");
    }
    let sim = sim_with(LaunchSource::Template, |_| {}).await;
    sim.region.world().faults.plan("CreateOrUpdateTags", Fault::Denied, u32::MAX);
    let answer = sim.invoke(&notices([7])).await.unwrap();
    assert_eq!((failed(&answer), desired_capacity(&sim), tag(&sim)), (vec![], 7, None));
}

/// A sweep that finds the group as it was removes the tag, at the moment in which it is raised again.
#[tokio::test(start_paused = true)]
async fn a_raise_while_a_sweep_removes_the_tag_is_remembered() {
    for source in SOURCES {
        let sim = sim_with(source, |world| {
            let tag = "6 whole 2 2025-03-04T04:30:00Z".to_owned();
            let group = world.groups.get_mut(scenario::ON_DEMAND_GROUP).unwrap();
            group.tags.insert("ebb:fallback".to_owned(), tag);
        })
        .await;
        // The Spot group is read first, then the fallback group.
        let looks = || {
            let world = sim.region.world();
            let calls = world.calls.iter();
            calls.filter(|call| call.operation == "DescribeAutoScalingGroups").count()
        };
        let removed = async {
            while looks() < 2 {
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            }
            let groups = &mut sim.region.world().groups;
            groups.get_mut(scenario::ON_DEMAND_GROUP).unwrap().tags.remove("ebb:fallback");
        };
        let payload = notice(&instance_id(7));
        let (answer, ()) = tokio::join!(sim.invoke(&payload), removed);
        answer.unwrap();
        assert_eq!((desired_capacity(&sim), tag(&sim)), (7, Some("6".to_owned())), "{source:?}");
    }
}
