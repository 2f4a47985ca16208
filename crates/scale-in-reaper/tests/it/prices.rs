//! Where prices are from, what a plan makes of them, and that a sweep neither fails nor waits for
//! want of them.

use std::collections::BTreeSet;

use ebb_core::ids::Cluster;
use ebb_core::prices::PriceSource;
use ebb_core::reaper::settings::{ReaperMode, ReaperSettings};
use ebb_core::reaper::{ClusterReport, text};
use ebb_region::fault::Fault;
use ebb_region::world::autoscaling::{Group, LaunchSource};
use ebb_region::world::ecs::{Machine, NewInstance};
use ebb_region::world::{REGION, World};
use jiff::SignedDuration;

use crate::support::{CLUSTER, GROUP, Sim, instance_id, removed, settings, small, start_time};

/// More attempts than the SDK makes for one call.
const MANY: u32 = 100;
const SPOT: LaunchSource = LaunchSource::Mixed { on_demand_percentage: 0 };
const SPOT_GROUP: &str = "shop-spot";

/// Six on-demand instances, of which some may go, and six Spot Instances.
fn both() -> World {
    let mut world = small(1);
    add_spot(&mut world, 7..=12);
    world
}

fn add_spot(world: &mut World, numbers: std::ops::RangeInclusive<usize>) {
    for number in numbers.clone() {
        let instance = NewInstance::new(instance_id(number));
        world.add_instance(CLUSTER, instance.zone(format!("{REGION}a")));
    }
    let group = Group::with_instances(CLUSTER, numbers.map(instance_id));
    world.add_group(SPOT_GROUP, Group { source: SPOT, ..group });
}

fn sources(report: &ClusterReport) -> Vec<PriceSource> {
    report.prices.sources.iter().copied().collect()
}

fn prices(report: &ClusterReport) -> BTreeSet<Option<u64>> {
    report.plan.remove.iter().map(|removal| removal.price_microusd).collect()
}

#[tokio::test(start_paused = true)]
async fn plans_weigh_and_say_current_prices_without_any_setting() {
    let sim = Sim::start(small(1), settings()).await;
    let report = sim.report().await;

    let going = u64::try_from(removed(&report).len()).unwrap();
    assert!(going > 0);
    assert_eq!(report.plan.saving.planned_microusd, Some(going * 89_800));
    assert_eq!(sources(&report), [PriceSource::PriceList]);
    let text = text(&report);
    assert!(text.ends_with("\n  Prices: current on-demand list prices.\n"), "{text}");
    // Without Spot Instances their prices are not asked for.
    assert_eq!((sim.calls("DescribeInstances"), sim.calls("DescribeSpotPriceHistory")), (1, 0));
}

/// Of instances alike, one that saves more goes first.
#[tokio::test(start_paused = true)]
async fn spot_instances_count_with_the_spot_price_of_their_zone() {
    let settings = ReaperSettings { max_removals_percent: 1, ..settings() };
    let empty_only = ReaperSettings { max_empty_removals_percent: 1, ..settings };
    let mut world = both();
    // Nothing of the on-demand group is empty.
    let sim = Sim::start(world.clone(), empty_only.clone()).await;
    let report = sim.report().await;
    assert_eq!(sources(&report), [PriceSource::SpotPriceHistory, PriceSource::PriceList]);
    assert_eq!(prices(&report), [Some(89_800)].into(), "{report:?}");

    // Where nothing else may go, Spot Instances do, for what they cost.
    world.groups.get_mut(GROUP).unwrap().min_size = 6;
    let report = Sim::start(world, empty_only).await.report().await;
    assert_eq!(prices(&report), [Some(31_200)].into(), "{report:?}");
}

#[tokio::test(start_paused = true)]
async fn what_the_operator_states_holds_for_all_and_nothing_is_asked() {
    let stated = [("m7g.large".to_owned(), 50_000)].into();
    let settings = ReaperSettings { instance_prices: stated, ..settings() };
    let sim = Sim::start(both(), settings).await;
    let report = sim.report().await;

    assert_eq!(prices(&report), [Some(50_000)].into());
    assert_eq!(sources(&report), [PriceSource::InstancePrices]);
    for operation in ["GetProducts", "DescribeInstances", "DescribeSpotPriceHistory"] {
        assert_eq!(sim.calls(operation), 0, "{operation}");
    }
}

/// How long a sweep takes at most beside what it waits for prices.
const SWEEP_SECONDS: i64 = 2;

#[tokio::test(start_paused = true)]
async fn what_cannot_be_asked_is_said_and_the_next_source_stands_in() {
    let (list, table) = (PriceSource::PriceList, PriceSource::TableUsEast1);
    let spot = PriceSource::SpotPriceHistory;
    for (operation, expected, spot_unknown, wait_seconds) in [
        ("GetProducts", vec![spot, table], false, 3),
        ("DescribeSpotPriceHistory", vec![list], false, 3),
        ("DescribeInstances", vec![list], true, 10),
    ] {
        for fault in [
            Fault::Denied,
            Fault::Throttle,
            Fault::ServerError,
            Fault::Timeout,
            Fault::ConnectionReset,
            Fault::EmptyObject,
            Fault::HtmlPage,
            Fault::NullList,
            Fault::TruncatedAnswer,
        ] {
            let sim = Sim::start(both(), settings()).await;
            sim.region.world().faults.plan(operation, fault, MANY);
            let report = sim.report().await;

            assert_eq!(sources(&report), expected, "{operation} {fault:?}");
            assert_eq!(report.prices.spot_unknown, spot_unknown, "{operation} {fault:?}");
            assert!(!removed(&report).is_empty(), "{operation} {fault:?}");
            let took = sim.region.now().duration_since(start_time());
            let limit = SignedDuration::from_secs(SWEEP_SECONDS + wait_seconds);
            assert!(took <= limit, "{operation} {fault:?}: {took}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn prices_that_cannot_be_had_are_asked_for_once_an_hour() {
    for fault in [None, Some(Fault::Denied)] {
        let sim = Sim::start(small(1), settings()).await;
        if let Some(fault) = fault {
            sim.region.world().faults.plan("GetProducts", fault, MANY);
        }
        let mut asked = Vec::new();
        for _ in 0..4 {
            sim.report().await;
            asked.push(sim.calls("GetProducts"));
            sim.until_next().await;
        }
        assert_eq!(asked, [1, 1, 2, 2], "{fault:?}");
    }
}

/// A Price List out of reach must not be waited for once for each cluster with a type of its own.
#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_is_not_asked_for_again_because_of_another_type() {
    let mut world = both();
    let clusters = ["bakery", "depot", "kiosk"];
    for (number, cluster) in (13..).zip(clusters) {
        let machine = Machine::new(&format!("z{number}.large"), 2048, 7680);
        world.add_instance(cluster, NewInstance::new(instance_id(number)).machine(machine));
    }
    let names = clusters.into_iter().chain([CLUSTER]).map(Cluster::new);
    let settings = ReaperSettings { clusters: Some(names.collect()), ..settings() };
    let sim = Sim::start(world, settings).await;
    for operation in ["GetProducts", "DescribeSpotPriceHistory"] {
        sim.region.world().faults.plan(operation, Fault::Timeout, MANY);
    }
    assert_eq!(sim.sweep().await.clusters.len(), 4);
    // Four clusters take two seconds without waiting, and one wait is three.
    let took = sim.region.now().duration_since(start_time());
    assert!(took < SignedDuration::from_secs(2 * 3), "{took}");
}

#[tokio::test(start_paused = true)]
async fn spot_instances_that_come_later_have_spot_prices_before_the_hour_is_over() {
    let settings = ReaperSettings { mode: ReaperMode::Plan, ..settings() };
    let sim = Sim::start(small(1), settings).await;
    assert_eq!(sources(&sim.report().await), [PriceSource::PriceList]);
    add_spot(&mut sim.region.world(), 7..=12);
    sim.until_next().await;

    let report = sim.report().await;
    assert_eq!(sources(&report), [PriceSource::SpotPriceHistory, PriceSource::PriceList]);
    assert_eq!((sim.calls("GetProducts"), sim.calls("DescribeSpotPriceHistory")), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn every_page_of_spot_instances_is_read() {
    let mut world = World::new(start_time(), 1);
    add_spot(&mut world, 1..=501);
    let sim = Sim::start(world, settings()).await;
    let report = sim.report().await;

    assert_eq!(sim.calls("DescribeInstances"), 2);
    assert_eq!(sources(&report), [PriceSource::SpotPriceHistory]);
}

#[tokio::test(start_paused = true)]
async fn a_type_without_a_price_leaves_the_plan_to_count_instances() {
    let mut world = small(1);
    let machine = Machine::new("z99.large", 2048, 7680);
    world.add_instance(CLUSTER, NewInstance::new(instance_id(7)).machine(machine));
    let report = Sim::start(world, settings()).await.report().await;

    assert!(!removed(&report).is_empty());
    assert_eq!(report.plan.saving.planned_microusd, None);
    assert!(!text(&report).contains("Prices:"));
}

#[tokio::test(start_paused = true)]
async fn no_more_than_fifty_types_are_asked_about_in_an_hour() {
    let mut world = small(1);
    for number in 7..=66 {
        let machine = Machine::new(&format!("z{number}.large"), 2048, 7680);
        world.add_instance(CLUSTER, NewInstance::new(instance_id(number)).machine(machine));
    }
    let sim = Sim::start(world, settings()).await;
    sim.report().await;
    assert_eq!(sim.calls("GetProducts"), 50);
}
