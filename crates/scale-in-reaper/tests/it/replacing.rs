//! Old instances are replaced, the replacement first: whatever fails or dies in between, each is
//! launched once, and the group is as large in the end as it was.

use std::collections::BTreeMap;
use std::time::Duration;

use ebb_core::ids::{Cluster, TopicArn};
use ebb_core::mark::DRAINED_BY;
use ebb_core::reaper::replace::claim::REPLACING_ATTRIBUTE;
use ebb_core::reaper::settings::{BUDGETS, ReaperMode, ReaperSettings};
use ebb_core::reaper::{ClusterReport, OutcomeKind, text};
use ebb_region::fault::{Fault, Faults};
use ebb_region::world::autoscaling::{Group, Instance, LifecycleState, group_arn};
use ebb_region::world::ec2::ScheduledEvent;
use ebb_region::world::ecs::{
    CapacityProvider, Deployments, NewInstance, ServiceKind, Status, TaskSpec,
};
use ebb_region::world::{Happening, REGION, World};
use serde_json::json;
use tokio::time::sleep;

use crate::support::{
    CLUSTER, GROUP, INTERVAL, Sim, hooked, instance_id, settings, small, start_time,
};

/// Half of the cluster at a time.
pub(crate) fn halves() -> ReaperSettings {
    ReaperSettings { max_removals_percent: 50, ..settings() }
}

/// Six instances in a group at its minimum, whose launch template has a new version.
fn outdated() -> World {
    let mut world = hooked(small(6));
    world.groups.get_mut(GROUP).unwrap().max_size = 20;
    renew(&mut world);
    world
}

/// Gives the group's launch template another version.
pub(crate) fn renew(world: &mut World) {
    let template = &mut world.groups.get_mut(GROUP).unwrap().launch_template;
    (template.default, template.latest) = (2, 2);
}

impl Sim {
    /// A sweep that replaces.
    async fn replace(&self) -> ClusterReport {
        let mut answer = self.invoke(&json!({"mode": "replace"})).await.unwrap();
        answer.clusters.remove(0)
    }

    /// The same, and once its `nth` call of an operation is through something else happens.
    async fn replace_while(
        &self,
        operation: &str,
        nth: usize,
        happens: impl FnOnce(&mut World),
    ) -> ClusterReport {
        let before = self.calls(operation);
        let meanwhile = async {
            while self.calls(operation) < before + nth {
                sleep(Duration::from_millis(1)).await;
            }
            happens(&mut self.region.world());
        };
        tokio::join!(self.replace(), meanwhile).0
    }

    /// The instances of the group that were launched for replacements.
    fn launched(&self) -> Vec<String> {
        let world = self.region.world();
        let launched = world.groups[GROUP].instances.iter();
        let launched = launched.filter(|instance| instance.launched_at.is_some());
        launched.map(|instance| instance.instance_id.clone()).collect()
    }

    /// The same, killed once it has made this many calls. Says whether it came that far.
    async fn replace_killed_after(&self, calls: usize) -> bool {
        let begun = self.region.world().calls.len();
        let killed = async {
            while self.region.world().calls.len() < begun + calls {
                sleep(Duration::from_millis(1)).await;
            }
        };
        let payload = json!({"mode": "replace"});
        tokio::select! {
            biased;
            () = killed => true,
            answer = self.invoke(&payload) => { answer.unwrap(); false }
        }
    }

    /// Sweeps until nothing is left to be replaced, a day at most. What must hold at any time holds.
    async fn replace_all(&self) {
        for _ in 0..48 {
            self.replace().await;
            self.assert_none_is_missing(6);
            self.until_next().await;
            self.assert_none_is_missing(6);
            let is_new = self.versions().keys().eq([&Some(2)]);
            if is_new && self.claims() == 0 && self.desired() == 6 {
                return;
            }
            // What is one too many, two at most in three zones, is for ordinary sweeps to take.
            assert!(!is_new || self.desired() <= 8, "{}", self.desired());
            if is_new {
                self.sweep().await;
            }
        }
        panic!("not replaced in a day: {:?}, {} claims", self.versions(), self.claims());
    }

    /// No fewer instances take tasks than the group wanted before.
    fn assert_none_is_missing(&self, least: usize) {
        assert!(self.active() >= least, "{} ACTIVE", self.active());
        self.assert_unharmed();
    }

    /// How many instances of the group are of each version of its launch template.
    fn versions(&self) -> BTreeMap<Option<u64>, usize> {
        let mut versions = BTreeMap::new();
        for instance in &self.region.world().groups[GROUP].instances {
            *versions.entry(instance.template_version).or_default() += 1;
        }
        versions
    }

    fn desired(&self) -> i32 {
        self.region.world().groups[GROUP].desired_capacity
    }

    /// How many container instances are claimed.
    fn claims(&self) -> usize {
        let world = self.region.world();
        let instances = world.clusters[CLUSTER].instances.values();
        let registered =
            instances.filter(|instance| world.status_of(&instance.instance_id).is_some());
        registered.filter(|instance| instance.attribute(REPLACING_ATTRIBUTE).is_some()).count()
    }

    /// The largest that the group ever wanted to be.
    fn largest(&self) -> i32 {
        let world = self.region.world();
        let sizes = world.history.iter().filter_map(|entry| match &entry.happening {
            Happening::DesiredCapacity { desired_capacity, .. } => Some(*desired_capacity),
            _ => None,
        });
        sizes.max().unwrap_or(0)
    }

    fn assert_replaced(&self) {
        assert_eq!((self.versions(), self.desired()), ([(Some(2), 6)].into(), 6));
        assert_eq!(self.claims(), 0);
        self.assert_at_rest();
    }
}

/// The outcomes of what is to be replaced, with how often each came about.
fn kinds(report: &ClusterReport) -> BTreeMap<OutcomeKind, usize> {
    let mut kinds = BTreeMap::new();
    for replacement in &report.replacements {
        *kinds.entry(replacement.outcome.outcome).or_default() += 1;
    }
    kinds
}

fn details(report: &ClusterReport) -> Vec<&str> {
    let outcomes = report.replacements.iter().map(|replacement| &replacement.outcome);
    outcomes.filter_map(|outcome| outcome.detail.as_deref()).collect()
}

#[tokio::test(start_paused = true)]
async fn the_replacements_join_before_the_old_ones_go_and_no_task_is_cut_off() {
    let sim = Sim::start(outdated(), halves()).await;
    let begun = sim.replace().await;
    assert_eq!(
        kinds(&begun),
        [(OutcomeKind::Replacing, 3), (OutcomeKind::NotReplaced, 3)].into(),
        "{begun:?}"
    );
    assert_eq!((sim.desired(), sim.draining().len()), (9, 0));

    sim.until_next().await;
    let going = sim.replace().await;
    assert_eq!(kinds(&going)[&OutcomeKind::Terminating], 3, "{going:?}");
    assert_eq!((sim.desired(), sim.calls("SetDesiredCapacity")), (6, 1));
    sim.replace_all().await;
    sim.assert_replaced();
    assert_eq!((sim.largest(), sim.calls("SetDesiredCapacity")), (9, 2));
}

#[tokio::test(start_paused = true)]
async fn a_zonal_shift_that_begins_in_the_middle_of_a_sweep_keeps_what_is_old() {
    let sim = Sim::start(outdated(), halves()).await;
    sim.replace().await;
    sim.until_next().await;
    let hour = Duration::from_secs(3_600);
    let begins = |world: &mut World| {
        world.shift_away(&group_arn(GROUP), "euw1-az1", "ZONAL_SHIFT", hour);
    };
    // As the sweep began, nothing was shifted.
    let report = sim.replace_while("ListManagedResources", 1, begins).await;
    assert_eq!((sim.draining(), kinds(&report)), (Vec::new(), [].into()), "{report:?}");
    let why = "nothing is replaced now: a zonal shift keeps group";
    assert!(text(&report).contains(why), "{}", text(&report));
    assert!(text(&sim.replace().await).contains(why), "as where it began before");

    sim.until_next().await;
    sim.until_next().await;
    sim.replace_all().await;
    sim.assert_replaced();
}

#[tokio::test(start_paused = true)]
async fn any_sweep_goes_on_and_none_takes_a_replacement_for_surplus() {
    let sim = Sim::start(outdated(), halves()).await;
    sim.replace().await;
    sim.until_next().await;
    let report = sim.report().await;

    assert_eq!(report.plan.remove, [], "the group is raised for a purpose");
    assert_eq!(kinds(&report), [(OutcomeKind::Terminating, 3)].into(), "{report:?}");
    sim.until_next().await;
    let report = sim.report().await;
    assert_eq!(
        (report.replacements.len(), sim.desired()),
        (0, 6),
        "only a sweep for it begins more"
    );
    assert_eq!(sim.versions(), [(Some(1), 3), (Some(2), 3)].into());
}

#[tokio::test(start_paused = true)]
async fn nothing_goes_in_its_place_while_others_must_be_patient() {
    let mut world = outdated();
    for number in 7..=8 {
        let zone = format!("{REGION}{}", ["a", "b"][number % 2]);
        world.add_instance(CLUSTER, NewInstance::new(instance_id(number)).zone(zone));
    }
    let group = Group::with_instances(CLUSTER, (7..=8).map(instance_id));
    world.add_group("second", Group { min_size: 0, max_size: 10, ..group });
    world.add_service(CLUSTER, "api", ServiceKind::replica(8), TaskSpec::default());
    let sim = Sim::start(hooked(world), ReaperSettings { low_for_sweeps: 2, ..halves() }).await;
    sim.replace().await;
    assert!(sim.desired() > 6);
    sim.until_next().await;
    let report = sim.report().await;

    let mut kept = report.plan.keep.iter();
    assert!(kept.any(|kept| kept.reason.code() == "not_low_for_long"), "{report:?}");
    assert_eq!(report.plan.remove, [], "the group is raised for a purpose");
}

#[tokio::test(start_paused = true)]
async fn a_budget_lets_nothing_go_that_is_not_replaced() {
    let mut world = outdated();
    world.groups.get_mut(GROUP).unwrap().min_size = 1;
    let always = |variable: &str| (variable == BUDGETS).then(|| r#"[{"share": 50}]"#.to_owned());
    let budgets = ReaperSettings::from_lookup(always).unwrap().budgets;
    let sim = Sim::start(world, ReaperSettings { budgets, ..settings() }).await;
    let report = sim.replace().await;

    assert_eq!(report.plan.remove, [], "{report:?}");
    assert_eq!(kinds(&report)[&OutcomeKind::Replacing], 3, "{report:?}");
}

#[tokio::test(start_paused = true)]
async fn a_plan_says_what_would_be_done_and_changes_nothing() {
    let sim = Sim::start(outdated(), ReaperSettings { mode: ReaperMode::Plan, ..halves() }).await;
    let report = sim.replace().await;

    assert_eq!(kinds(&report)[&OutcomeKind::WouldReplace], 3, "{report:?}");
    assert_eq!(
        ["SetDesiredCapacity", "PutAttributes", "UpdateContainerInstancesState"]
            .map(|write| sim.calls(write)),
        [0; 3]
    );
}

#[tokio::test(start_paused = true)]
async fn a_group_at_its_maximum_or_that_its_capacity_provider_sizes_is_left_as_it_is() {
    let mut full = outdated();
    full.groups.get_mut(GROUP).unwrap().max_size = 6;
    let mut managed = outdated();
    managed.attach_capacity_provider(CLUSTER, "provider", CapacityProvider::scaling(GROUP, 100));
    for (world, why) in [(full, "at its maximum size (6)"), (managed, "capacity provider")] {
        let sim = Sim::start(world, halves()).await;
        let report = sim.replace().await;
        assert_eq!(kinds(&report), [(OutcomeKind::NotReplaced, 6)].into(), "{report:?}");
        assert!(details(&report).iter().all(|detail| detail.contains(why)), "{report:?}");
        assert_eq!(sim.calls("SetDesiredCapacity"), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn what_never_joins_is_taken_back_and_nothing_more_is_begun_for_a_day() {
    let mut world = outdated();
    world.groups.get_mut(GROUP).unwrap().launches_join = false;
    let topic = TopicArn::new("arn:aws:sns:eu-west-1:111122223333:sweeps");
    let sim =
        Sim::start(world, ReaperSettings { notification_topic: Some(topic), ..halves() }).await;
    sim.replace().await;
    sim.until_next().await;
    assert_eq!(sim.region.world().groups[GROUP].instances.len(), 9);
    let report = sim.replace().await;

    assert_eq!(kinds(&report)[&OutcomeKind::ReplacementFailed], 3, "{report:?}");
    assert!(details(&report)[0].contains("no replacement has joined the cluster"), "{report:?}");
    let subject = sim.region.world().published.last().unwrap().subject.clone();
    assert_eq!(
        subject.as_deref(),
        Some("Ebb's sweep of container instances: 3 failed, in cluster shop")
    );
    sim.until_next().await;
    assert_eq!((sim.versions(), sim.desired()), ([(Some(1), 6)].into(), 6));
    sim.assert_at_rest();
    let report = sim.replace().await;
    assert_eq!(kinds(&report), [(OutcomeKind::NotReplaced, 6)].into(), "{report:?}");
    assert!(details(&report)[0].contains("nothing of its group is replaced until"), "{report:?}");

    sim.region.world().groups.get_mut(GROUP).unwrap().launches_join = true;
    sim.run(INTERVAL * 50).await;
    sim.replace_all().await;
    sim.assert_replaced();
}

#[tokio::test(start_paused = true)]
async fn a_group_for_which_ec2_has_nothing_is_as_large_as_before() {
    let mut world = outdated();
    world.groups.get_mut(GROUP).unwrap().ec2_has_capacity = false;
    let sim = Sim::start(world, halves()).await;
    sim.replace().await;
    assert_eq!(sim.desired(), 9);
    sim.until_next().await;
    let report = sim.replace().await;

    assert_eq!(kinds(&report)[&OutcomeKind::ReplacementFailed], 3, "{report:?}");
    assert!(details(&report)[0].contains("EC2 launched no replacement"), "{report:?}");
    assert_eq!((sim.desired(), sim.versions()), (6, [(Some(1), 6)].into()));
    sim.assert_at_rest();
}

#[tokio::test(start_paused = true)]
async fn an_instance_in_another_cluster_is_not_taken_for_one_that_never_joined() {
    let mut world = outdated();
    world.groups.get_mut(GROUP).unwrap().launches_join = false;
    let settings = ReaperSettings { clusters: Some(vec![Cluster::new(CLUSTER)]), ..halves() };
    let sim = Sim::start(world, settings).await;
    sim.replace().await;
    sim.until_next().await;
    let launched: Vec<_> = sim.region.world().groups[GROUP].instances[6..]
        .iter()
        .map(|instance| instance.instance_id.clone())
        .collect();
    for instance_id in &launched {
        sim.region.world().add_instance("other", NewInstance::new(instance_id));
    }
    let report = sim.replace().await;

    assert_eq!(kinds(&report)[&OutcomeKind::ReplacementFailed], 3, "{report:?}");
    assert_eq!(sim.calls("TerminateInstanceInAutoScalingGroup"), 0);
}

/// The new version of the launch template joins another cluster, and `ECS_CLUSTERS` names only one:
/// the role may neither list the clusters nor read that one.
#[tokio::test(start_paused = true)]
async fn what_joined_a_cluster_that_may_not_be_read_is_never_terminated() {
    let mut world = outdated();
    world.groups.get_mut(GROUP).unwrap().launches_join = false;
    let settings = ReaperSettings { clusters: Some(vec![Cluster::new(CLUSTER)]), ..halves() };
    let sim = Sim::start(world, settings).await;
    sim.region.world().faults.plan("ListClusters", Fault::Denied, 10_000);
    sim.replace().await;
    sim.until_next().await;
    let launched = sim.launched();
    for instance_id in &launched {
        sim.region.world().add_instance("other", NewInstance::new(instance_id));
    }
    let report = sim.replace().await;

    assert_eq!(kinds(&report)[&OutcomeKind::ReplacementFailed], 3, "{report:?}");
    let stay = "3 instances of these stay: a cluster may have them: failed to list the clusters";
    assert!(details(&report)[0].contains(stay), "{report:?}");
    assert_eq!(sim.calls("TerminateInstanceInAutoScalingGroup"), 0);
    for _ in 0..4 {
        sim.until_next().await;
        sim.replace().await;
        sim.sweep().await;
        assert_eq!(sim.launched(), launched);
    }
}

#[tokio::test(start_paused = true)]
async fn what_joins_while_a_sweep_gives_it_up_is_not_terminated() {
    let mut world = outdated();
    world.groups.get_mut(GROUP).unwrap().launches_join = false;
    let sim = Sim::start(world, halves()).await;
    sim.replace().await;
    sim.until_next().await;
    let launched = sim.launched();
    let report = sim
        .replace_while("TerminateInstanceInAutoScalingGroup", 1, |world| {
            for instance_id in &launched {
                world.add_instance(CLUSTER, NewInstance::new(instance_id));
            }
        })
        .await;
    assert_eq!(kinds(&report)[&OutcomeKind::ReplacementFailed], 3, "{report:?}");
    assert_eq!(sim.calls("TerminateInstanceInAutoScalingGroup"), 1);
}

#[tokio::test(start_paused = true)]
async fn what_was_launched_of_it_goes_and_what_was_not_is_not_launched_later() {
    let mut world = outdated();
    world.groups.get_mut(GROUP).unwrap().launches_join = false;
    let sim = Sim::start(world, halves()).await;
    sim.replace().await;
    {
        let mut world = sim.region.world();
        let group = world.groups.get_mut(GROUP).unwrap();
        group.ec2_has_capacity = false;
        group.instances.truncate(7);
    }
    sim.until_next().await;
    let report = sim.replace().await;
    assert_eq!(kinds(&report)[&OutcomeKind::ReplacementFailed], 3, "{report:?}");
    sim.until_next().await;
    assert_eq!((sim.versions(), sim.desired()), ([(Some(1), 6)].into(), 6));
}

/// A sweep has claimed and could not raise; the next one does, and another comes within its minute.
#[tokio::test(start_paused = true)]
async fn what_a_later_sweep_launches_has_its_own_time_to_join() {
    let sim = Sim::start(outdated(), halves()).await;
    sim.region.world().faults.plan("SetDesiredCapacity", Fault::ServerError, 1);
    sim.replace().await;
    assert_eq!((sim.desired(), sim.claims()), (6, 3));
    sim.until_next().await;
    sim.replace().await;
    assert_eq!(sim.desired(), 9);
    // In service, and not in the cluster yet.
    sim.run(Duration::from_secs(50)).await;
    let report = sim.replace().await;
    assert_eq!(kinds(&report)[&OutcomeKind::Replacing], 3, "{report:?}");
    assert_eq!(sim.desired(), 9);
}

/// An operator, or cluster auto scaling, between the look at a group and the raise.
#[tokio::test(start_paused = true)]
async fn who_raises_a_group_in_the_meantime_is_not_overwritten() {
    let sim = Sim::start(outdated(), halves()).await;
    let report = sim
        .replace_while("PutAttributes", 1, |world| {
            world.set_desired_capacity(GROUP, 12).unwrap();
        })
        .await;
    assert_eq!(kinds(&report), [(OutcomeKind::NotReplaced, 6)].into(), "{report:?}");
    assert!(details(&report)[0].contains("was set to 12 meanwhile"), "{report:?}");
    assert_eq!((sim.desired(), sim.claims()), (12, 0));
    sim.until_next().await;
    sim.assert_none_is_missing(12);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_replaced_in_a_cluster_whose_deployment_fails() {
    // Before anything is begun, and once its replacements are there.
    for sweeps_before in [0, 1] {
        let sim = Sim::start(outdated(), halves()).await;
        for _ in 0..sweeps_before {
            sim.replace().await;
            sim.until_next().await;
        }
        let desired = sim.desired();
        {
            let mut world = sim.region.world();
            let cluster = world.clusters.get_mut(CLUSTER).unwrap();
            cluster.services.get_mut("web").unwrap().deployments = Deployments::Failing;
        }
        sim.replace().await;
        assert_eq!((sim.desired(), sim.draining().len()), (desired, 0));
    }
}

/// Somebody holds the group while its replacements are given up, or would let others go.
#[tokio::test(start_paused = true)]
async fn a_group_that_somebody_holds_is_left_as_it_is() {
    for launches_join in [true, false] {
        let mut world = outdated();
        world.groups.get_mut(GROUP).unwrap().launches_join = launches_join;
        let sim = Sim::start(world, halves()).await;
        sim.replace().await;
        sim.until_next().await;
        let tag = ("ebb:hold-until".to_owned(), "forever".to_owned());
        sim.region.world().groups.get_mut(GROUP).unwrap().tags.extend([tag]);
        for _ in 0..6 {
            let report = sim.replace().await;
            assert_eq!(kinds(&report)[&OutcomeKind::Replacing], 3, "{report:?}");
            assert!(details(&report)[0].contains("held"), "{report:?}");
            sim.until_next().await;
        }
        assert_eq!((sim.desired(), sim.claims(), sim.draining().len()), (9, 3, 0));
        assert_eq!(sim.calls("TerminateInstanceInAutoScalingGroup"), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_cannot_be_read_raises_nothing_once_more() {
    let sim = Sim::start(outdated(), halves()).await;
    let value = "claimed v2 2025-03-04T05:06:07Z";
    {
        let mut world = sim.region.world();
        let id = world.container_instance(&instance_id(1)).unwrap().1.id.clone();
        world.put_attribute(CLUSTER, &id, REPLACING_ATTRIBUTE, value);
    }
    let report = sim.replace().await;
    assert_eq!(kinds(&report), [(OutcomeKind::NotReplaced, 6)].into(), "{report:?}");
    assert!(details(&report)[0].contains("ebb.replacing"), "{report:?}");
    assert_eq!(sim.desired(), 6);
}

#[tokio::test(start_paused = true)]
async fn two_sweeps_at_once_raise_a_group_once() {
    let sim = Sim::start(outdated(), halves()).await;
    tokio::join!(sim.replace(), sim.replace());
    assert_eq!((sim.desired(), sim.claims()), (9, 3));
    sim.until_next().await;
    tokio::join!(sim.replace(), sim.replace());
    sim.until_next().await;
    sim.replace_all().await;
    sim.assert_replaced();
    assert_eq!(sim.largest(), 9);
}

#[tokio::test(start_paused = true)]
async fn a_death_after_any_call_is_mended_and_launches_nothing_twice() {
    // The sweep that begins, and the one that finds the replacements.
    for sweeps_before in [0, 1] {
        for calls in 1.. {
            let sim = Sim::start(outdated(), halves()).await;
            for _ in 0..sweeps_before {
                sim.replace().await;
                sim.until_next().await;
            }
            let was_killed = sim.replace_killed_after(calls).await;
            sim.until_next().await;
            sim.replace_all().await;
            sim.assert_replaced();
            // Three at a time, and two to even the zones out.
            let largest = sim.largest();
            assert!(largest <= 11, "{largest} after {calls} calls of sweep {sweeps_before}");
            if !was_killed {
                assert!(calls > 20, "the sweep makes more calls than {calls}");
                break;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn no_fault_of_any_call_loses_capacity_or_launches_twice() {
    let operations = [
        "DescribeAutoScalingGroups",
        "DescribeContainerInstances",
        "DescribeInstanceRefreshes",
        "DescribeInstanceStatus",
        "DescribeLaunchTemplates",
        "DescribeLifecycleHooks",
        "DeleteAttributes",
        "ListContainerInstances",
        "PutAttributes",
        "SetDesiredCapacity",
        "TerminateInstanceInAutoScalingGroup",
        "UpdateContainerInstancesState",
    ];
    for operation in operations {
        for fault in [Fault::ServerError, Fault::Throttle, Fault::AnswerLost, Fault::Denied] {
            let sim = Sim::start(outdated(), halves()).await;
            for _ in 0..2 {
                sim.region.world().faults.plan(operation, fault, 8);
                // It may fail as a whole: then nothing was done, or the next one goes on.
                let _ = sim.invoke(&json!({"mode": "replace"})).await;
                sim.assert_none_is_missing(6);
                sim.region.world().faults = Faults::default();
                sim.until_next().await;
            }
            sim.replace_all().await;
            sim.assert_replaced();
            assert!(sim.largest() <= 11, "{operation} {fault:?}: {}", sim.largest());
        }
    }
}

/// Replaces until nothing is left, and returns which of the first instances are still there.
async fn remaining(world: World, settings: ReaperSettings) -> Vec<usize> {
    let sim = Sim::start(world, settings).await;
    for _ in 0..12 {
        sim.replace().await;
        sim.until_next().await;
    }
    sim.assert_at_rest();
    // Where Auto Scaling launches in another zone there is one more in the end, for ordinary sweeps
    // to take: two at most in three zones.
    assert!((6..=8).contains(&sim.desired()), "{}", sim.desired());
    assert_eq!(sim.claims(), 0);
    let world = sim.region.world();
    (1..=6).filter(|&number| world.status_of(&instance_id(number)).is_some()).collect()
}

#[tokio::test(start_paused = true)]
async fn what_is_older_than_is_wanted_goes_and_the_rest_stays() {
    let mut world = World::new(start_time(), 1);
    let day = Duration::from_secs(86_400);
    for number in 1..=6 {
        let zone = format!("{REGION}{}", ["a", "b", "c"][number % 3]);
        let age = if number <= 2 { day * 31 } else { day };
        world.add_instance(CLUSTER, NewInstance::new(instance_id(number)).zone(zone).age(age));
    }
    let group = Group::with_instances(CLUSTER, (1..=6).map(instance_id));
    world.add_group(GROUP, Group { min_size: 6, ..group });
    world.add_service(CLUSTER, "web", ServiceKind::replica(3), TaskSpec::default());
    let settings = ReaperSettings { replace_after_days: Some(30), ..halves() };
    assert_eq!(remaining(hooked(world), settings).await, [3, 4, 5, 6]);
}

#[tokio::test(start_paused = true)]
async fn what_ec2_is_to_end_goes_unless_that_is_over() {
    let mut world = hooked(small(6));
    for (number, description) in
        [(4, "The instance is running on degraded hardware"), (5, "[Canceled] It")]
    {
        let event = ScheduledEvent {
            code: "instance-retirement".to_owned(),
            description: description.to_owned(),
            not_before: "2025-03-18T00:00:00.000Z".to_owned(),
        };
        world.scheduled_events.insert(instance_id(number), event);
    }
    assert_eq!(remaining(world, halves()).await, [1, 2, 3, 5, 6]);
}

/// Six instances in service, and a seventh, empty one that their group retains.
fn with_a_retained_instance() -> World {
    let mut world = hooked(small(6));
    world.add_instance(CLUSTER, NewInstance::new(instance_id(7)));
    let retained = Instance {
        state: LifecycleState::TerminatingRetained,
        ..Instance::in_service(instance_id(7))
    };
    world.groups.get_mut(GROUP).unwrap().instances.push(retained);
    world.advance(start_time() + Duration::from_secs(60));
    world
}

#[tokio::test(start_paused = true)]
async fn what_is_retained_with_nothing_left_is_terminated_and_its_group_stays_as_large() {
    let sim = Sim::start(with_a_retained_instance(), halves()).await;
    let report = sim.replace().await;
    assert_eq!(kinds(&report), [(OutcomeKind::Terminating, 1)].into(), "{report:?}");
    sim.until_next().await;
    assert_eq!(sim.region.world().status_of(&instance_id(7)), None);
    assert_eq!((sim.desired(), sim.active()), (6, 6));
    sim.assert_at_rest();
}

/// ECS may place a task on it until it drains.
#[tokio::test(start_paused = true)]
async fn what_is_retained_is_drained_before_it_is_terminated() {
    let sim = Sim::start(with_a_retained_instance(), halves()).await;
    sim.replace().await;
    let world = sim.region.world();
    let calls = world.calls.iter().map(|call| call.operation.as_str());
    let calls: Vec<_> = calls
        .filter(|operation| {
            ["UpdateContainerInstancesState", "TerminateInstanceInAutoScalingGroup"]
                .contains(operation)
        })
        .collect();
    assert_eq!(calls, ["UpdateContainerInstancesState", "TerminateInstanceInAutoScalingGroup"]);
}

/// Seven instances in service, of which no cluster has the last: its group retains it.
pub(crate) fn with_a_retained_stranger() -> World {
    let mut world = with_a_retained_instance();
    let (cluster, id) = world.registrations(&instance_id(7)).remove(0);
    world.clusters.get_mut(&cluster).unwrap().instances.remove(&id);
    world
}

#[tokio::test(start_paused = true)]
async fn what_is_retained_and_in_no_cluster_is_told_by_every_sweep_and_terminated_by_one_that_replaces()
 {
    let sim = Sim::start(with_a_retained_stranger(), halves()).await;
    let report = sim.report().await;
    let stranger = [(instance_id(7), GROUP.to_owned())];
    let told = |report: &ClusterReport| -> Vec<_> {
        let members = report.unregistered_members.iter();
        members.map(|(id, group)| (id.to_string(), group.to_string())).collect()
    };
    assert_eq!(told(&report), stranger, "{report:?}");
    assert_eq!(sim.calls("TerminateInstanceInAutoScalingGroup"), 0);

    let report =
        sim.with(ReaperSettings { mode: ReaperMode::Plan, ..halves() }).await.replace().await;
    assert_eq!(kinds(&report), [(OutcomeKind::WouldReplace, 1)].into(), "{report:?}");
    let report = sim.replace().await;
    assert_eq!(kinds(&report), [(OutcomeKind::Terminating, 1)].into(), "{report:?}");
    assert_eq!(details(&report), ["its group retained it, and it is in no cluster"]);
    sim.until_next().await;
    assert_eq!(told(&sim.report().await), []);
    assert_eq!((sim.desired(), sim.active()), (6, 6));
    sim.assert_at_rest();
}

#[tokio::test(start_paused = true)]
async fn what_is_retained_and_may_be_in_another_cluster_is_left_alone() {
    let mut world = with_a_retained_stranger();
    world.add_instance("other", NewInstance::new(instance_id(7)));
    let sim = Sim::start(world, halves()).await;
    assert_eq!(kinds(&sim.replace().await), BTreeMap::new(), "the sweep of that one sees to it");
    // A cluster that cannot be listed may have it.
    let sim = Sim::start(with_a_retained_stranger(), halves()).await;
    sim.region.world().faults.plan("ListClusters", Fault::Denied, 100);
    let report = sim.replace().await;
    assert_eq!(kinds(&report), [(OutcomeKind::NotReplaced, 1)].into(), "{report:?}");
    let why = "whether another cluster has it is not known: failed to list the clusters";
    assert!(details(&report)[0].starts_with(why), "{report:?}");
    assert_eq!(sim.calls("TerminateInstanceInAutoScalingGroup"), 0);
}

/// It may be interrupted any moment, or come back.
#[tokio::test(start_paused = true)]
async fn what_drains_on_a_recommendation_is_replaced_once_it_is_back() {
    let mut world = outdated();
    let (cluster, id) = world.registrations(&instance_id(3)).remove(0);
    let mark = format!("spot-drainer/{:.0}/rebalance", world.now());
    world.set_status(&cluster, &id, Status::Draining);
    world.put_attribute(&cluster, &id, DRAINED_BY, &mark);
    let sim = Sim::start(world, halves()).await;
    let report = sim.replace().await;
    let of_third = |report: &ClusterReport| {
        let mut replacements = report.replacements.iter();
        let found = replacements.find(|it| it.outcome.instance_id.as_str() == instance_id(3));
        found.unwrap().outcome.detail.clone().unwrap()
    };
    let why = of_third(&report);
    assert!(why.starts_with("it drains on a rebalance recommendation of 2025-"), "{why}");
    sim.until_next().await;
    sim.sweep().await;
    sim.replace_all().await;
    sim.assert_replaced();
}
