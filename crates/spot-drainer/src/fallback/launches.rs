//! Launches an instance for each interrupted one, where the group allows it. Which requests are
//! made is decided in `ebb_core::spot::fallback::launches`.

use std::collections::BTreeSet;

use ebb_aws::{LaunchResult, Problem};
use ebb_core::ids::{GroupName, InstanceId};
use ebb_core::spot::fallback::group::FallbackGroup;
use ebb_core::spot::fallback::launches::launches;
use futures_util::{StreamExt, stream};
use tracing::{info, warn};

use crate::drainer::SpotDrainer;
use crate::work::Work;

/// How many launches run at once: each takes EC2 some seconds, and a batch of 80 notices has half a
/// minute.
const CONCURRENT_LAUNCHES_MAX: usize = 8;

impl SpotDrainer {
    /// Launches an instance for each of these, and returns those for which Auto Scaling refuses to.
    /// What fails otherwise has a problem.
    pub(super) async fn launch_in(
        &self,
        name: &GroupName,
        described: &FallbackGroup,
        ids: BTreeSet<InstanceId>,
        work: &mut Work,
    ) -> BTreeSet<InstanceId> {
        let ids: Vec<_> = ids.into_iter().collect();
        let mut refused = BTreeSet::new();
        let (requests, without_room) = launches(name, described, &ids);
        if without_room > 0 {
            let reason = work.note_no_room(name, described, without_room);
            for id in ids.iter().skip(requests.len()) {
                // Once it is said that there is no room, nothing is left to do about it.
                work.uncounted_on(id).for_each(|item| {
                    item.counted = true;
                    item.not_replaced = Some(reason.clone());
                });
            }
        }
        let calls = requests.into_iter().map(|launch| async move {
            let result = self.clients.auto_scaling.launch(name, &launch).await;
            (launch.instance_id, result)
        });
        let mut calls = stream::iter(calls).buffer_unordered(CONCURRENT_LAUNCHES_MAX);
        // Each is noted as it comes: an invocation that ends before the last leaves only those to be
        // delivered again that did not come.
        while let Some((id, result)) = calls.next().await {
            match result {
                Ok(LaunchResult::Launched) => info!(
                    host.id = %id,
                    asg.name = %name,
                    "Launched an instance in {name} in place of {id}"
                ),
                Ok(LaunchResult::Delayed(reasons)) => {
                    let reason = format!(
                        "EC2 had no instance for fallback group {name}, which keeps trying: {}",
                        reasons.join("; ")
                    );
                    work.uncounted_on(&id)
                        .for_each(|item| item.not_replaced = Some(reason.clone()));
                    *work.shortages.entry(reason).or_default() += 1;
                }
                Ok(LaunchResult::Refused(error)) => {
                    warn!(
                        "{name} counts {id} by its desired capacity instead: {}",
                        Problem::from(&error).text
                    );
                    refused.insert(id);
                    continue;
                }
                Err(error) => {
                    work.uncounted_on(&id).for_each(|item| {
                        item.problem.get_or_insert_with(|| Problem::from(&error));
                    });
                    continue;
                }
            }
            work.uncounted_on(&id).for_each(|item| item.counted = true);
        }
        refused
    }
}
