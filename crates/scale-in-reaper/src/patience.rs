//! What a sweep holds back for a while, and the attributes by which later sweeps know since when an
//! instance could go. Which those are is decided by `ebb_core::reaper::{sustained, halt,
//! zonal_shift}`.

use std::collections::{BTreeMap, BTreeSet};

use ebb_aws::{Groups, Problem};
use ebb_core::ids::InstanceId;
use ebb_core::reaper::follow_up::FollowUp;
use ebb_core::reaper::halt::{Halt, HaltCause, all_held, halt};
use ebb_core::reaper::request::Purpose;
use ebb_core::reaper::settings::ReaperMode;
use ebb_core::reaper::sustained::{
    LOW_SINCE, could_go, held_after_take_back, low_for, low_marks, not_low_for,
};
use ebb_core::reaper::zonal_shift::{ClusterResources, shifted};
use ebb_planner::{Inventory, KeepReason, Plan};
use jiff::Timestamp;
use tracing::warn;

use crate::observe::Observation;
use crate::sweep::Sweep;
use crate::zonal_shifts::read;

impl Sweep<'_> {
    /// The instances that do not go in this sweep, whatever there is room for: all of them where the
    /// cluster is `halted`.
    pub(crate) fn held_back(
        &self,
        inventory: &Inventory,
        halted: Option<&Halt>,
        now: Timestamp,
    ) -> BTreeMap<InstanceId, KeepReason> {
        let settings = self.settings;
        if let Some(halt) = halted {
            return all_held(inventory, halt);
        }
        let mut held = held_after_take_back(inventory, settings.hold_after_take_back, now);
        // Who asks for a plan wants to know what could go; the attributes are those of sweeps that
        // act.
        if self.mode == ReaperMode::Act {
            held.extend(not_low_for(inventory, low_for(settings.low_for_sweeps), now));
        }
        held
    }

    /// Why nothing goes in the cluster now, if so.
    pub(crate) async fn halted(
        &self,
        groups: &Groups,
        observation: &Observation,
        decided: &[(usize, FollowUp)],
        now: Timestamp,
    ) -> Option<Halt> {
        let Observation { inventory, failing, .. } = observation;
        let percent_max = self.settings.halt_at_disconnected_percent;
        match halt(inventory, failing, decided, percent_max, now) {
            Some(halt) => Some(halt),
            None => self.shifted(groups, observation, now).await,
        }
    }

    async fn shifted(
        &self,
        groups: &Groups,
        observation: &Observation,
        now: Timestamp,
    ) -> Option<Halt> {
        let cluster = ClusterResources {
            groups: groups.of(&observation.inventory).map(|group| group.arn.clone()).collect(),
            target_groups: observation.target_groups.clone(),
        };
        if !self.settings.halt_on_zonal_shift || cluster.is_empty() {
            return None;
        }
        let mut looks = self.shift_looks.lock().await;
        if looks.is_due(now) {
            let shifts = self.looking(|| read(self.clients, now)).await;
            looks.note(now, shifts);
        }
        let why = shifted(&cluster, looks.shifts(), now)?;
        Some(Halt { cause: HaltCause::ZonalShift, why })
    }

    /// The instances that could go, if it matters since when.
    pub(crate) fn could_go(&self, inventory: &Inventory, now: Timestamp) -> BTreeSet<InstanceId> {
        if self.notes_low() { could_go(inventory, &self.policy, now) } else { BTreeSet::new() }
    }

    /// Notes on instances since when they could go, and takes that from those that could not any
    /// more. Where that fails, a later sweep counts from then on.
    pub(crate) async fn note_low(
        &self,
        inventory: &Inventory,
        could_go: &BTreeSet<InstanceId>,
        plan: &Plan,
        now: Timestamp,
    ) {
        if !self.notes_low() || !self.has_time() {
            return;
        }
        let removed = plan.remove.iter().map(|removal| &removal.instance_id).collect();
        let marks = low_marks(inventory, could_go, &removed, now);
        let (ecs, cluster) = (&self.clients.ecs, &inventory.cluster);
        let arn = |index: usize| &inventory.instances[index].arn;
        let put: Vec<_> =
            marks.put.iter().map(|(index, low)| (arn(*index), low.to_string())).collect();
        let delete: Vec<_> = marks.delete.iter().map(|index| arn(*index).clone()).collect();
        let noted = async {
            // First what could let an instance go too early.
            ecs.delete_attribute(cluster, LOW_SINCE, &delete).await?;
            ecs.put_attribute(cluster, LOW_SINCE, &put).await
        };
        if let Err(error) = noted.await {
            let cause = Problem::from(error).text;
            warn!("Instances of cluster {} go a sweep later: {cause}", cluster.name());
        }
    }

    fn notes_low(&self) -> bool {
        // A sweep that replaces has not read the candidates' tasks: it cannot say who could go.
        self.mode == ReaperMode::Act
            && self.purpose == Purpose::Remove
            && self.settings.low_for_sweeps > 1
    }
}
