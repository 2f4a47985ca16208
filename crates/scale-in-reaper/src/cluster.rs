//! The sweep of one cluster, from what is observed to what was done about it.

use ebb_aws::{AwsErrorKind, ErrorType, Groups, Problem};
use ebb_core::ecs::{MissingCluster, missing_cluster};
use ebb_core::ids::Cluster;
use ebb_core::reaper::follow_up::{Load, follow_up, stranded};
use ebb_core::reaper::hold_back::hold_back;
use ebb_core::reaper::planned::would_remove;
use ebb_core::reaper::reading::unregistered_members;
use ebb_core::reaper::replace::decide::{is_under_way, without_raised_groups};
use ebb_core::reaper::request::Purpose;
use ebb_core::reaper::settings::ReaperMode;
use ebb_core::reaper::spares::keep_spares_away;
use ebb_core::reaper::termination::keep_groups_balanced;
use ebb_core::reaper::{ClusterReport, OutcomeKind, Potential};
use ebb_planner::{plan, spare_instances};
use tracing::warn;

use crate::act::postpone;
use crate::observe::Candidates;
use crate::sweep::{FUNCTION, Sweep};

/// Sweeps a cluster; `None` if it was deleted since it was listed.
pub(crate) async fn sweep_cluster(
    sweep: &Sweep<'_>,
    cluster: &Cluster,
    groups: &Groups,
) -> Result<Option<ClusterReport>, Problem> {
    // Observe.
    let look = || sweep.observe(cluster, groups, Candidates::ToInspect);
    let observation = match sweep.looking(look).await {
        Ok(observation) => observation,
        Err(error)
            if error.kind == AwsErrorKind::NotFound
                && missing_cluster(sweep.settings.clusters.as_deref())
                    == MissingCluster::Deleted =>
        {
            return Ok(None);
        }
        Err(error) => return Err(error.into()),
    };
    let inventory = &observation.inventory;

    // Decide: what could go, and what becomes of what an earlier sweep drained.
    let now = sweep.clock.now();
    let removable = without_raised_groups(inventory);
    let planned = plan(&removable, &sweep.policy, now);
    let potential = Potential::new(&planned, &removable, &sweep.policy, now);
    let load = Load { headroom: planned.headroom_before, unplaced: observation.unplaced.clone() };
    let mut decided = follow_up(inventory, &sweep.policy, &load, FUNCTION, now);
    keep_groups_balanced(inventory, &mut decided, groups.zones());
    let could_go = sweep.could_go(inventory, now);
    let mut halted = sweep.halted(groups, &observation, &decided, now).await;
    let held = sweep.held_back(inventory, halted.as_ref(), now);
    let planned = hold_back(planned, &removable, &held, &sweep.policy, now);
    // Where sweeps only plan no task is moved, and a spare one waits for nobody.
    if sweep.settings.mode == ReaperMode::Act {
        keep_spares_away(inventory, &mut decided, &planned);
    }

    // Who asks for a plan while sweeps act leaves nothing behind: the next one goes on.
    let stranded = match sweep.settings.mode {
        ReaperMode::Plan => stranded(inventory, &decided, FUNCTION),
        ReaperMode::Act => Vec::new(),
    };

    // Act: earlier drains first, as they say whether load has come back.
    let (follow_ups, load_is_back) = sweep.carry_out_follow_ups(inventory, decided).await;
    let (plan, outcomes) = if sweep.mode == ReaperMode::Plan {
        let low_for_sweeps = sweep.settings.low_for_sweeps;
        let outcomes = would_remove(&planned, &inventory.groups, low_for_sweeps);
        (planned, outcomes)
    } else if load_is_back {
        postpone(planned, "load has come back")
    } else {
        sweep.remove(cluster, planned, spare_instances(inventory)).await?
    };
    sweep.note_low(inventory, &could_go, &plan, now).await;
    let begins = sweep.purpose == Purpose::Replace;
    // While load comes back nothing of it goes, whether it is replaced or not; nor while the cluster
    // is in trouble, or somebody holds it.
    let may_replace = !load_is_back && halted.is_none() && inventory.hold(now).is_none();
    let replacements = if may_replace && (begins || is_under_way(inventory)) {
        let names = inventory.groups.keys();
        let names = names.filter(|name| inventory.group_hold(name, now).is_none());
        let names = names.cloned().collect();
        match sweep.replace(cluster, names, plan.headroom_before.instances).await {
            Ok(Ok(replacements)) => replacements,
            Ok(Err(halt)) => {
                halted = Some(halt);
                Vec::new()
            }
            Err(problem) if begins => return Err(problem),
            // What was removed is to be reported, and the next sweep goes on.
            Err(Problem { text, .. }) => {
                warn!("What is being replaced waits for the next sweep: {text}");
                Vec::new()
            }
        }
    } else {
        Vec::new()
    };
    let (mode, purpose) = (sweep.mode, sweep.purpose);
    let unregistered_members = unregistered_members(inventory, &groups.members_paid_for());
    Ok(Some(ClusterReport {
        mode,
        purpose,
        plan,
        potential,
        prices: observation.prices,
        outcomes,
        follow_ups,
        replacements,
        halt: halted,
        stranded,
        unregistered_members,
        // Only the sweep of all clusters can tell.
        unclear_members: 0,
        container_instances: inventory.container_instances(),
    }))
}

/// A missing permission is a problem of the sweep, so that it is noticed. The first one is enough:
/// it names the action that is to be allowed.
pub(crate) fn missing_permissions(reports: &[ClusterReport]) -> Option<Problem> {
    let mut outcomes = reports.iter().flat_map(ClusterReport::all_outcomes);
    let denied = outcomes.find(|outcome| outcome.outcome == OutcomeKind::Denied)?;
    let text = denied.detail.clone().unwrap_or_default();
    Some(Problem { error_type: ErrorType::AwsDenied, text })
}
