//! A sweep's eyes without its hands, for whoever only wants to know: what `ebb` looks at clusters
//! by. What that comes to is left to the caller.

use std::collections::BTreeMap;

use ebb_aws::{AwsError, Clients, Clock, Groups, PriceReader};
use ebb_core::ids::{Cluster, GroupName, InstanceId};
use ebb_core::reaper::ClusterReport;
use ebb_core::reaper::instance_types::GroupTypes;
use ebb_core::reaper::replace::planned::ReplaceFacts;
use ebb_core::reaper::settings::{ReaperMode, ReaperSettings};
use ebb_planner::Inventory;
use jiff::SignedDuration;

use crate::observe::{Candidates, Observation};
use crate::sweep::Sweep;

/// For how long looks that failed are made again: a person waits.
const LASTS: SignedDuration = SignedDuration::from_mins(10);

/// For how long other clusters are asked about members of the groups.
const NEVER_JOINED_MAX: SignedDuration = SignedDuration::from_mins(1);

/// Looks at clusters, in the way and at the pace of a sweep, and changes nothing.
pub struct Survey<'a>(Sweep<'a>);

impl<'a> Survey<'a> {
    /// Begins a survey. Of the settings, the prices and what the policy says about groups count.
    pub fn new(
        clients: &'a Clients,
        settings: &'a ReaperSettings,
        prices: &'a PriceReader,
        clock: Clock,
    ) -> Self {
        let deadline = clock.now() + LASTS;
        Self(Sweep::new(clients, settings, prices, ReaperMode::Plan, clock, deadline))
    }

    /// The clusters that the settings name, or every one of the Region.
    ///
    /// # Errors
    /// If they cannot be listed.
    pub async fn clusters(&self) -> Result<Vec<Cluster>, AwsError> {
        let clusters = self.0.settings.clusters.as_deref();
        // Boxed, as the SDK's futures are large and deeply nested. So are those below.
        Box::pin(self.0.looking(|| self.0.clients.ecs.clusters(clusters))).await
    }

    /// The Auto Scaling groups of the Region.
    ///
    /// # Errors
    /// If they cannot be read.
    pub async fn groups(&self) -> Result<Groups, AwsError> {
        Box::pin(self.0.looking(|| self.0.observe_groups())).await
    }

    /// A cluster, with the tasks of all its instances: a sweep reads those of few.
    ///
    /// # Errors
    /// If it cannot be read, or does not exist.
    pub async fn cluster(
        &self,
        cluster: &Cluster,
        groups: &Groups,
    ) -> Result<Observation, AwsError> {
        Box::pin(self.0.looking(|| self.0.observe(cluster, groups, Candidates::All))).await
    }

    /// What a cluster's groups may launch, of those that may launch several instance types.
    pub async fn group_types(
        &self,
        inventory: &Inventory,
        groups: &Groups,
    ) -> BTreeMap<GroupName, GroupTypes> {
        Box::pin(self.0.group_types(inventory, groups)).await
    }

    /// What a sweep that replaces looks at beside a cluster.
    ///
    /// # Errors
    /// If it cannot be told whether a group refreshes its instances. What EC2 cannot be asked about
    /// replaces nothing, as in a sweep.
    pub async fn replace_facts(
        &self,
        inventory: &Inventory,
        groups: &Groups,
    ) -> Result<ReplaceFacts, AwsError> {
        let names = inventory.groups.keys().cloned().collect();
        let mut evidence = Box::pin(self.0.evidence(groups, &names)).await;
        // EC2 is asked about the whole Region.
        let is_here = |id: &InstanceId| inventory.instances.iter().any(|it| it.instance_id == *id);
        evidence.events.retain(|id, _| is_here(id));
        let look = || async {
            let mut inventory = inventory.clone();
            self.0.add_refreshes(&mut inventory).await?;
            Ok(inventory.groups)
        };
        let unavailable = Box::pin(self.0.looking(look)).await?.into_iter();
        let unavailable = unavailable.filter_map(|(name, group)| Some((name, group.unavailable?)));
        Ok(ReplaceFacts {
            groups: groups.members_of(inventory),
            evidence,
            unavailable: unavailable.collect(),
        })
    }

    /// Leaves those members of the groups in the reports that are in no cluster of the Region, as a
    /// sweep does. `clusters` are those that were to be looked at.
    pub async fn settle_never_joined(&self, reports: &mut [ClusterReport], clusters: &[Cluster]) {
        let answer_by = self.0.clock.instant(self.0.clock.now() + NEVER_JOINED_MAX);
        Box::pin(self.0.settle_never_joined(reports, clusters, answer_by)).await;
    }
}
