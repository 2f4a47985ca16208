//! Clusters at one moment, read from AWS or from a recording: what every command but `drains` looks
//! at. What a sweep would say about them is decided here, in the words of the `scale-in-reaper`.

use std::collections::BTreeMap;

use ebb_aws::PriceReader;
use ebb_core::ids::{Cluster, GroupName, InstanceId};
use ebb_core::prices::{PriceBasis, PriceSource};
use ebb_core::reaper::follow_up::{Load, PlacementFailure, follow_up};
use ebb_core::reaper::instance_types::GroupTypes;
use ebb_core::reaper::planned::{would_follow_up, would_remove};
use ebb_core::reaper::reading::{as_a_sweep_reads, unregistered_members};
use ebb_core::reaper::request::Purpose;
use ebb_core::reaper::settings::{ReaperMode, ReaperSettings};
use ebb_core::reaper::{ClusterReport, Potential};
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
                let group_types = survey.group_types(&observation.inventory, &groups).await;
                Ok((observation, group_types))
            };
            match progress.during(&label, look).await {
                Ok((observation, group_types)) => read.push(ClusterSnapshot {
                    never_joined: unregistered_members(&observation.inventory, &members),
                    inventory: observation.inventory,
                    unplaced: observation.unplaced,
                    prices: observation.prices,
                    unclear_members: 0,
                    group_types,
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
            // What is to be replaced takes reads of its own.
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
