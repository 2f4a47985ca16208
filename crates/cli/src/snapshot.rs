//! Clusters at one moment, read from AWS or from a recording: what every command but `drains` looks
//! at. What a sweep would say about them is decided here, in the words of the `scale-in-reaper`.

use std::collections::BTreeMap;

use ebb_aws::PriceReader;
use ebb_core::ids::{Cluster, GroupName, InstanceId};
use ebb_core::prices::{PriceBasis, PriceSource};
use ebb_core::reaper::budgets::DisruptionReason;
use ebb_core::reaper::follow_up::{Load, PlacementFailure, follow_up};
use ebb_core::reaper::instance_types::GroupTypes;
use ebb_core::reaper::planned::{would_follow_up, would_remove};
use ebb_core::reaper::reading::{
    as_a_replacing_sweep_reads, as_a_sweep_reads, unregistered_members,
};
use ebb_core::reaper::replace::decide::Scene;
use ebb_core::reaper::replace::outdated::Evidence;
use ebb_core::reaper::replace::planned::{ReplaceFacts, ended, would_replace};
use ebb_core::reaper::replace::retained::{NOT_KNOWN, WOULD_END, retained_unregistered};
use ebb_core::reaper::request::Purpose;
use ebb_core::reaper::settings::{ReaperMode, ReaperSettings};
use ebb_core::reaper::{ClusterReport, OutcomeKind, Potential, Replacement};
use ebb_planner::{Inventory, Policy, plan};
use jiff::Timestamp;
use scale_in_reaper::{FUNCTION, Survey};

use crate::account::Account;
use crate::failure::Failure;
use crate::progress::Progress;
use crate::words::printable;

/// Clusters as they were.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// When the last of them was read.
    pub at: Timestamp,
    /// Their Region.
    pub region: String,
    /// The clusters.
    pub clusters: Vec<ClusterSnapshot>,
}

/// What kinds of sweeps clusters are read for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purposes {
    /// Only those that remove what nobody needs.
    Remove,
    /// Also those that replace what is old, which takes reads of its own.
    All,
}

/// A cluster as it was, with the tasks of all its instances.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterSnapshot {
    /// What the planner takes.
    pub inventory: Inventory,
    /// The services that find no place for a task.
    pub unplaced: Vec<PlacementFailure>,
    /// Members of its groups, in service or retained, that are in no cluster.
    pub never_joined: Vec<(InstanceId, GroupName)>,
    /// How many are not in the cluster, and may be in another.
    pub unclear_members: usize,
    /// What the prices are based on.
    pub prices: PriceBasis,
    /// What its groups may launch, of those that may launch several instance types.
    pub group_types: BTreeMap<GroupName, GroupTypes>,
    /// What a sweep that replaces looks at, if it was read.
    pub replace: Option<ReplaceFacts>,
}

impl Snapshot {
    /// Reads clusters, one after the other. One that cannot be read hides no other: it is among the
    /// failures.
    ///
    /// # Errors
    /// If the clusters cannot be listed, or the groups not read.
    pub async fn read(
        account: &Account,
        settings: &ReaperSettings,
        purposes: Purposes,
        progress: &Progress,
    ) -> Result<(Self, Vec<Failure>), Failure> {
        let region = account.region.as_str();
        let prices = PriceReader::new(account.clients.clone());
        let survey = Survey::new(&account.clients, settings, &prices, account.clock);
        let start = async {
            let clusters = survey.clusters().await?;
            Ok((clusters, survey.groups().await?))
        };
        let (clusters, groups) = progress
            .during("Reading the clusters and the Auto Scaling groups", start)
            .await
            .map_err(|error| Failure::of_call(error, None, region))?;
        let members = groups.members_paid_for();
        let (mut read, mut failures) = (Vec::new(), Vec::new());
        for (number, cluster) in (1..).zip(&clusters) {
            let label =
                format!("Reading cluster {} ({number} of {})", cluster.name(), clusters.len());
            let look = async {
                let observation = survey.cluster(cluster, &groups).await?;
                let inventory = &observation.inventory;
                let group_types = survey.group_types(inventory, &groups).await;
                let replace = match purposes {
                    Purposes::Remove => None,
                    Purposes::All => Some(survey.replace_facts(inventory, &groups).await?),
                };
                Ok((observation, group_types, replace))
            };
            match progress.during(&label, look).await {
                Ok((observation, group_types, replace)) => read.push(ClusterSnapshot {
                    never_joined: unregistered_members(&observation.inventory, &members),
                    inventory: observation.inventory,
                    unplaced: observation.unplaced,
                    prices: observation.prices,
                    unclear_members: 0,
                    group_types,
                    replace,
                }),
                Err(error) => failures.push(Failure::of_call(error, Some(cluster), region)),
            }
        }
        let mut snapshot =
            Self { at: account.clock.now(), region: region.to_owned(), clusters: read };
        let settle = snapshot.settle_never_joined(&survey, settings, &clusters);
        progress.during("Asking other clusters about members of the groups", settle).await;
        Ok((snapshot, failures))
    }

    /// Leaves those members of the groups that are in no cluster at all.
    async fn settle_never_joined(
        &mut self,
        survey: &Survey<'_>,
        settings: &ReaperSettings,
        clusters: &[Cluster],
    ) {
        let mut reports = self.reports(&settings.policy());
        survey.settle_never_joined(&mut reports, clusters).await;
        for (cluster, report) in self.clusters.iter_mut().zip(reports) {
            cluster.never_joined = report.unregistered_members;
            cluster.unclear_members = report.unclear_members;
        }
    }

    /// Sets the prices of instance types that are stated, in millionths of a dollar an hour.
    pub fn price(&mut self, settings: &ReaperSettings) {
        for cluster in &mut self.clusters {
            for instance in &mut cluster.inventory.instances {
                if let Some(&price) = settings.instance_prices.get(&instance.instance_type) {
                    instance.price_microusd = Some(price);
                    cluster.prices.sources.insert(PriceSource::InstancePrices);
                }
            }
            for types in cluster.group_types.values_mut() {
                types.state_prices(&settings.instance_prices);
            }
        }
    }

    /// Leaves the clusters that are named, if any are.
    ///
    /// # Errors
    /// If one of them is not in the snapshot.
    pub fn retain(&mut self, clusters: Option<&[Cluster]>) -> Result<(), Failure> {
        let Some(named) = clusters else { return Ok(()) };
        let names: Vec<_> =
            self.clusters.iter().map(|cluster| cluster.inventory.cluster.name()).collect();
        if let Some(unknown) = named.iter().find(|cluster| !names.contains(&cluster.name())) {
            let names = printable(&names.join(", "));
            let unknown = unknown.name();
            return Err(Failure::input(format!(
                "cluster {unknown} is not in the recording, which has: {names}"
            )));
        }
        self.clusters.retain(|cluster| {
            let name = cluster.inventory.cluster.name();
            named.iter().any(|cluster| cluster.name() == name)
        });
        Ok(())
    }

    /// What a sweep that only plans would report.
    pub fn reports(&self, policy: &Policy) -> Vec<ClusterReport> {
        self.clusters.iter().map(|cluster| cluster.report(policy, self.at)).collect()
    }
}

impl ClusterSnapshot {
    /// What a sweep that replaces, and only plans, would report. `None` if what it looks at was not
    /// read.
    pub fn replace_report(
        &self,
        settings: &ReaperSettings,
        now: Timestamp,
    ) -> Option<ClusterReport> {
        let facts = self.replace.as_ref()?;
        let policy = Purpose::Replace.policy(settings);
        let report = self.report(&policy, now);
        let usable = report.plan.headroom_before.instances;
        let replacements = match self.inventory.hold(now) {
            Some(_) => Vec::new(),
            None => self.replacements(facts, settings, usable, now),
        };
        Some(ClusterReport { purpose: Purpose::Replace, replacements, ..report })
    }

    fn replacements(
        &self,
        facts: &ReplaceFacts,
        settings: &ReaperSettings,
        usable: usize,
        now: Timestamp,
    ) -> Vec<Replacement> {
        let policy = Purpose::Replace.policy(settings);
        let mut evidence =
            Evidence { replace_after: settings.replace_after(), ..facts.evidence.clone() };
        // A sweep does not ask about the launch templates of groups that somebody holds.
        let is_held = |name: &GroupName| self.inventory.group_hold(name, now).is_some();
        for instance in &self.inventory.instances {
            if instance.group.as_ref().is_some_and(is_held) {
                evidence.templates.remove(&instance.instance_id);
            }
        }
        let mut inventory = as_a_replacing_sweep_reads(&self.inventory, &evidence, now);
        for (name, group) in &mut inventory.groups {
            group.unavailable = facts.unavailable.get(name).cloned();
        }
        let scene = Scene {
            inventory: &inventory,
            groups: &facts.groups,
            outdated: &evidence.outdated(&inventory, now),
            policy: &policy,
            allowance: &settings.allowance(DisruptionReason::Replace, usable, now),
            may_begin: true,
            function: FUNCTION,
            now,
        };
        let mut replacements = would_replace(&scene);
        let retained = retained_unregistered(&inventory, &facts.groups, &policy, now);
        replacements.extend(retained.into_iter().filter_map(|member| {
            let mut in_no_cluster = self.never_joined.iter().map(|(id, _)| id);
            let done = if in_no_cluster.any(|id| *id == member.instance_id) {
                (OutcomeKind::WouldReplace, WOULD_END.to_owned())
            } else if self.unclear_members > 0 {
                (OutcomeKind::NotReplaced, NOT_KNOWN.to_owned())
            } else {
                return None;
            };
            Some(ended(member, done))
        }));
        replacements
    }

    /// What a sweep that only plans would report.
    pub fn report(&self, policy: &Policy, now: Timestamp) -> ClusterReport {
        let inventory = as_a_sweep_reads(&self.inventory, policy, now);
        let plan = plan(&inventory, policy, now);
        let load = Load { headroom: plan.headroom_before, unplaced: self.unplaced.clone() };
        let follow_ups = follow_up(&inventory, policy, &load, FUNCTION, now)
            .iter()
            .map(|(index, decision)| would_follow_up(&inventory.instances[*index], decision))
            .collect();
        // Like everything that is not asked for, as the function does by default.
        let low_for_sweeps = ReaperSettings::default().low_for_sweeps;
        ClusterReport {
            mode: ReaperMode::Plan,
            purpose: Purpose::Remove,
            potential: Potential::new(&plan, &inventory, policy, now),
            prices: self.prices.clone(),
            outcomes: would_remove(&plan, &inventory.groups, low_for_sweeps),
            plan,
            follow_ups,
            replacements: Vec::new(),
            // What a sweep halts at is not in plans of `ebb`.
            halt: None,
            // Whether the function acts is not known here.
            stranded: Vec::new(),
            unregistered_members: self.never_joined.clone(),
            unclear_members: self.unclear_members,
            container_instances: inventory.container_instances(),
        }
    }
}
