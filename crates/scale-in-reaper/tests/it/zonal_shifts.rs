//! Nothing goes while traffic is shifted away from a zone of the cluster, nor while that is not known.

use std::time::Duration;

use ebb_aws::ErrorType;
use ebb_core::reaper::OutcomeKind;
use ebb_core::reaper::settings::ReaperSettings;
use ebb_region::fault::Fault;
use ebb_region::world::World;
use ebb_region::world::autoscaling::group_arn;
use serde_json::json;

use crate::support::{
    CLUSTER, GROUP, INTERVAL, Sim, add_small, hooked, outcomes, removed, settings, small,
};

const LIST: &str = "ListManagedResources";
const ALB: &str =
    "arn:aws:elasticloadbalancing:eu-west-1:111122223333:loadbalancer/app/shop/0a1b2c3d4e5f6000";
const TARGETS: &str =
    "arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/web/0a1b2c3d4e5f6001";
const HOUR: Duration = Duration::from_secs(3_600);

fn shift_group(world: &mut World, kind: &'static str) {
    world.shift_away(&group_arn(GROUP), "euw1-az1", kind, HOUR);
}

/// A small cluster whose service is behind a load balancer.
fn behind_load_balancer() -> World {
    let mut world = hooked(small(1));
    world.target_groups.insert(TARGETS.to_owned(), vec![ALB.to_owned()]);
    let cluster = world.clusters.get_mut(CLUSTER).unwrap();
    cluster.services.get_mut("web").unwrap().target_groups.push(TARGETS.to_owned());
    world
}

/// Why nothing goes in the one cluster that there is; `None` if something does.
async fn halted(sim: &Sim) -> Option<String> {
    let report = sim.report().await;
    let halted = report.plan.keep.iter().find(|kept| kept.reason.code() == "halted");
    assert_eq!(halted.is_some(), removed(&report).is_empty(), "{report:?}");
    Some(halted?.reason.to_string())
}

#[tokio::test(start_paused = true)]
async fn nothing_goes_until_the_shift_of_a_group_is_over() {
    for (kind, word) in [
        ("ZONAL_SHIFT", "a zonal shift"),
        ("PRACTICE_RUN", "a practice run of a zonal shift"),
        ("ZONAL_AUTOSHIFT", "a zonal autoshift"),
    ] {
        let mut world = hooked(small(1));
        shift_group(&mut world, kind);
        let sim = Sim::start(world, settings()).await;
        let why = halted(&sim).await.unwrap();
        let expected = format!("{word} keeps group {GROUP} away from euw1-az1 until ");
        assert!(why.contains(&expected), "{why}");
        sim.run(INTERVAL).await;
        assert!(halted(&sim).await.is_some());
        sim.run(INTERVAL).await;
        assert_eq!(halted(&sim).await, None, "it is over");
        assert_eq!(sim.calls("DescribeTargetGroups"), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_load_balancer_counts_for_the_clusters_whose_services_it_leads_to() {
    let mut world = behind_load_balancer();
    add_small(&mut world, "blog", "blog", 11..=16, 1);
    // More than a page: what is shifted is on the last.
    let others = (0..1_000).map(|number| format!("{TARGETS}{number:04}"));
    world.target_groups.extend(others.map(|arn| (arn.replace("web", "other"), Vec::new())));
    world.shift_away(ALB, "euw1-az3", "ZONAL_SHIFT", HOUR);
    let sim = Sim::start(hooked(world), ReaperSettings { clusters: None, ..settings() }).await;
    let answer = sim.sweep().await;
    let going = |cluster: &str| {
        let mut reports = answer.clusters.iter();
        removed(reports.find(|report| report.plan.cluster.name() == cluster).unwrap()).len()
    };
    assert_eq!(going(CLUSTER), 0);
    assert!(going("blog") > 0, "{answer:?}");
    // Once for both clusters, and once more for the one whose plan is carried out.
    assert_eq!((sim.calls(LIST), sim.calls("DescribeTargetGroups")), (2, 6));
}

#[tokio::test(start_paused = true)]
async fn a_shift_is_found_among_hundreds_of_resources() {
    let mut world = hooked(small(1));
    let others = (0..250).map(|number| format!("{ALB}{number:03}"));
    world.target_groups.insert(TARGETS.to_owned(), others.collect());
    world.groups.values_mut().for_each(|group| group.min_size = 1);
    shift_group(&mut world, "ZONAL_SHIFT");
    let sim = Sim::start(world, settings()).await;
    assert!(halted(&sim).await.is_some());
    assert_eq!(sim.calls(LIST), 3);
}

#[tokio::test(start_paused = true)]
async fn a_shift_that_begins_after_the_plan_was_made_keeps_it_from_being_carried_out() {
    let sim = Sim::start(hooked(small(1)), settings()).await;
    let begins = |world: &mut World| shift_group(world, "ZONAL_SHIFT");
    let report = sim.sweep_while(LIST, 1, begins).await;
    assert!(!report.outcomes.is_empty() && sim.draining().is_empty(), "{report:?}");
    for outcome in &report.outcomes {
        assert_eq!(outcome.outcome, OutcomeKind::Postponed);
        assert!(outcome.detail.as_deref().unwrap().starts_with("a zonal shift keeps"));
    }
}

#[tokio::test(start_paused = true)]
async fn where_shifts_cannot_be_read_nothing_goes_and_the_invocation_fails() {
    for (operation, fault, error_type) in [
        (LIST, Fault::Denied, ErrorType::AwsDenied),
        (LIST, Fault::ServerError, ErrorType::AwsOther),
        ("DescribeTargetGroups", Fault::Denied, ErrorType::AwsDenied),
    ] {
        let mut world = behind_load_balancer();
        world.shift_away(ALB, "euw1-az1", "ZONAL_SHIFT", Duration::from_secs(60));
        world.faults.plan(operation, fault, 60);
        let sim = Sim::start(world, settings()).await;
        let error = sim.invoke(&json!({})).await.unwrap_err();
        assert_eq!(error.error_type, error_type, "{error:?}");
        assert_eq!(sim.draining(), [""; 0]);
    }
}

#[tokio::test(start_paused = true)]
async fn an_earlier_drain_goes_on_meanwhile() {
    // Without a hook, what has tasks is terminated by the sweep after that which drains it.
    let sim = Sim::start(small(1), settings()).await;
    sim.sweep().await;
    assert_ne!(sim.draining(), [""; 0]);
    shift_group(&mut sim.region.world(), "ZONAL_SHIFT");
    sim.until_next().await;
    let follow_ups = outcomes(&sim.report().await.follow_ups);
    assert!(!follow_ups.is_empty());
    assert!(
        follow_ups.iter().all(|outcome| *outcome == OutcomeKind::Terminating),
        "{follow_ups:?}"
    );
    sim.until_next().await;
    sim.assert_at_rest();
}

#[tokio::test(start_paused = true)]
async fn who_does_not_want_it_is_not_asked_for_the_permission() {
    let mut world = hooked(small(1));
    shift_group(&mut world, "ZONAL_SHIFT");
    world.faults.plan(LIST, Fault::Denied, 10);
    let sim = Sim::start(world, ReaperSettings { halt_on_zonal_shift: false, ..settings() }).await;
    assert_eq!(halted(&sim).await, None);
    assert_eq!(sim.calls(LIST), 0);
}
