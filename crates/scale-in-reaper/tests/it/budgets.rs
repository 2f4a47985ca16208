//! Disruption budgets: what goes at which time, for which reason, and what people read about it.

use std::time::Duration;

use ebb_core::reaper::OutcomeKind;
use ebb_core::reaper::budgets::Budgets;
use ebb_core::reaper::settings::{BUDGETS, ReaperSettings};
use ebb_region::fault::Fault;
use ebb_region::world::World;
use ebb_region::world::autoscaling::Group;
use ebb_region::world::ecs::NewInstance;

use crate::support::{
    CLUSTER, GROUP, Sim, hooked, instance_id, outcomes, removed, settings, small, start_time,
};

fn budgets(text: &str) -> Budgets {
    let settings =
        ReaperSettings::from_lookup(|variable| (variable == BUDGETS).then(|| text.to_owned()));
    settings.unwrap().budgets
}

fn with_budgets(text: &str) -> ReaperSettings {
    ReaperSettings { budgets: budgets(text), ..settings() }
}

/// The reasons to stay that a budget gives, each once.
fn held_by_budget(report: &ebb_core::reaper::ClusterReport) -> Vec<String> {
    let kept = report.plan.keep.iter().filter(|kept| kept.reason.code() == "max_removals");
    let mut sentences: Vec<_> = kept.map(|kept| kept.reason.to_string()).collect();
    sentences.dedup();
    sentences
}

/// It is five in the morning in London, and a Tuesday.
const BUSINESS_HOURS: &str = r#"[{"count": 0, "schedule": "0 6 * * MON-FRI",
    "time_zone": "Europe/Berlin", "duration": "12h"}]"#;

#[tokio::test(start_paused = true)]
async fn in_business_hours_nothing_goes_and_the_plan_says_until_when() {
    let sim = Sim::start(hooked(small(1)), with_budgets(BUSINESS_HOURS)).await;
    let report = sim.report().await;
    assert_eq!((removed(&report).len(), sim.draining().len()), (0, 0));
    assert_eq!(
        held_by_budget(&report),
        ["budget 1 of BUDGETS (0 instances) is used up; more may go from 2025-03-04T17:00:00Z on"]
    );
    // Twelve hours after six o'clock in Berlin.
    sim.run(Duration::from_secs(12 * 3_600 - 60)).await;
    assert_eq!(removed(&sim.report().await).len(), 0);
    sim.run(Duration::from_secs(60)).await;
    assert_ne!(removed(&sim.report().await).len(), 0);
    sim.until_next().await;
    sim.assert_unharmed();
}

#[tokio::test(start_paused = true)]
async fn off_hours_alone_are_a_share_of_nought_and_a_budget_for_the_night() {
    let nights = r#"[{"share": 100, "schedule": "0 22 * * *", "duration": "6h"}]"#;
    let settings = ReaperSettings { max_removals_percent: 0, ..with_budgets(nights) };
    let sim = Sim::start(hooked(small(1)), settings).await;
    assert_eq!(
        held_by_budget(&sim.report().await),
        ["MAX_REMOVALS_PERCENT (0 %) is used up; more may go from 2025-03-04T22:00:00Z on"]
    );
    sim.run(Duration::from_secs(17 * 3_600)).await;
    assert_ne!(removed(&sim.report().await).len(), 0);
}

#[tokio::test(start_paused = true)]
async fn empty_ones_go_at_any_time() {
    let others = r#"[{"count": 0, "reasons": ["consolidate", "replace", "fallback"]}]"#;
    let sim = Sim::start(hooked(small(1)), with_budgets(others)).await;
    let report = sim.report().await;
    assert_eq!(report.plan.remove.len(), 3, "{report:?}");
    assert!(report.plan.remove.iter().all(|removal| removal.reason.code() == "empty"));
    assert_eq!(held_by_budget(&report), ["budget 1 of BUDGETS (0 instances) is used up"]);
}

#[tokio::test(start_paused = true)]
async fn a_budget_whose_time_is_over_in_the_middle_of_a_sweep_is_kept() {
    let until_half_past = r#"[{"share": 100, "schedule": "0 5 * * *", "duration": "30m"}]"#;
    let settings = ReaperSettings { max_removals_percent: 0, ..with_budgets(until_half_past) };
    let sim = Sim::start(hooked(small(1)), settings).await;
    sim.run(Duration::from_secs(1_797)).await;
    // It was planned in time; the look before acting takes a second and more.
    let fail = |world: &mut World| {
        world.faults.plan("DescribeAutoScalingGroups", Fault::Timeout, 1);
    };
    let report = sim.sweep_while("GetTaskProtection", 1, fail).await;
    assert_eq!((removed(&report).len(), sim.draining().len()), (0, 0), "{report:?}");
    assert_eq!(
        held_by_budget(&report),
        ["MAX_REMOVALS_PERCENT (0 %) is used up; more may go from 2025-03-05T05:00:00Z on"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_budget_whose_time_is_over_between_two_batches_holds_the_second() {
    let mut world = World::new(start_time(), 1);
    let numbers = 1..=26;
    for number in numbers.clone() {
        world.add_instance(CLUSTER, NewInstance::new(instance_id(number)));
    }
    world.add_group(GROUP, Group::with_instances(CLUSTER, numbers.map(instance_id)));
    let until_half_past = r#"[{"share": 100, "schedule": "0 5 * * *", "duration": "30m"}]"#;
    let settings = ReaperSettings { max_removals_percent: 0, ..with_budgets(until_half_past) };
    let sim = Sim::start(hooked(world), settings).await;
    sim.run(Duration::from_secs(1_797)).await;
    let fail = |world: &mut World| {
        world.faults.plan("UpdateContainerInstancesState", Fault::Timeout, 1);
    };
    let report = sim.sweep_while("PutAttributes", 1, fail).await;
    let outcomes = outcomes(&report.outcomes);
    assert!(outcomes.len() > 20, "{report:?}");
    assert!(outcomes[..10].iter().all(|kind| *kind != OutcomeKind::Postponed), "{report:?}");
    assert!(outcomes[10..].iter().all(|kind| *kind == OutcomeKind::Postponed), "{report:?}");
}
