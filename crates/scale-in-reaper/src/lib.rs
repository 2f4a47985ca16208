#![doc = include_str!("../README.md")]

mod act;
mod earlier;
mod observe;
mod report;

use std::collections::BTreeMap;

use ebb_aws::{AwsErrorKind, Clients, Clock, Ecs, HandlerError, Problem};
use ebb_core::event::Event;
use ebb_core::ids::{Cluster, GroupName};
use ebb_core::reaper::follow_up::{Load, follow_up};
use ebb_core::reaper::reading::unregistered_members;
use ebb_core::reaper::services::TaskRequirements;
use ebb_core::reaper::settings::{ReaperMode, ReaperSettings};
use ebb_core::reaper::{Answer, ClusterReport, request};
use ebb_planner::{Policy, plan};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::time::timeout_at;
use tracing::warn;

use crate::observe::{Account, Candidates};

/// The function's name, as in logs and metrics, and in the marks on what it drains.
pub const FUNCTION: &str = "scale-in-reaper";

/// What is kept of the invocation's time for the answer, so that Lambda never cuts the function off without one.
const ANSWER_MARGIN: SignedDuration = SignedDuration::from_secs(3);

/// With less time than this nothing new is begun: a drain that was begun is to be carried on, or taken back.
const ACT_MARGIN: SignedDuration = SignedDuration::from_secs(30);

/// The function, with everything that it keeps between invocations.
#[derive(Debug)]
pub struct ScaleInReaper {
    clients: Clients,
    settings: ReaperSettings,
}

impl ScaleInReaper {
    /// Puts the function together.
    pub fn new(clients: Clients, settings: ReaperSettings) -> Self {
        Self { clients, settings }
    }

    /// Handles one invocation, which began at `now` and is cut off at `deadline`: one sweep over every cluster.
    ///
    /// # Errors
    /// Only for "run this event again": a malformed request, a cluster that could not be looked at, or a permission that
    /// is lacking. Every other cluster is swept first. What AWS refuses is no error: it stands in the answer.
    pub async fn handle(
        &self,
        payload: &Value,
        now: Timestamp,
        deadline: Timestamp,
    ) -> Result<Answer, HandlerError> {
        let clock = Clock::start(now);
        let mut answer = Answer { mode: self.settings.mode, clusters: Vec::new(), ignored: None };
        let mut problems = Vec::new();
        match request::read(payload) {
            Err(error) => problems.push(Problem::from(error)),
            Ok(Event::Ignored { why, .. }) => answer.ignored = Some(why),
            Ok(Event::Ours(request)) => {
                if request.exceeds(self.settings.mode) {
                    warn!("Asked to act, but REAPER_MODE is `plan`: nothing will be changed");
                }
                answer.mode = request.mode(self.settings.mode);
                // Boxed, as the SDK's futures are large and deeply nested.
                let swept = Box::pin(self.sweep(answer.mode, clock, deadline));
                (answer.clusters, problems) = swept.await;
            }
        }
        self.report(&answer, &problems, clock).await;
        HandlerError::of(&problems).map_or(Ok(answer), Err)
    }

    async fn sweep(
        &self,
        mode: ReaperMode,
        clock: Clock,
        deadline: Timestamp,
    ) -> (Vec<ClusterReport>, Vec<Problem>) {
        let time = deadline.duration_since(clock.now());
        let sweep = Sweep {
            reaper: self,
            mode,
            policy: self.settings.policy(),
            clock,
            act_by: deadline - ACT_MARGIN.min(time / 2),
            paced_ecs: self.clients.ecs.paced(),
            definitions: Mutex::default(),
            hooks: Mutex::default(),
        };
        let answer_by = clock.instant(deadline - ANSWER_MARGIN.min(time / 4));
        let (mut swept, mut problems) = (Vec::new(), Vec::new());
        let start = async {
            let clusters = self.clients.ecs.clusters(self.settings.clusters.as_deref()).await;
            let clusters = clusters?;
            Ok::<_, Problem>((clusters, sweep.account().await?))
        };
        let (clusters, account) =
            match timeout_at(answer_by, start).await.unwrap_or_else(|_| Err(out_of_time())) {
                Ok(started) => started,
                Err(problem) => return (swept, vec![problem]),
            };
        for cluster in &clusters {
            let run = Box::pin(sweep.cluster(cluster, &account));
            match timeout_at(answer_by, run).await.unwrap_or_else(|_| Err(out_of_time())) {
                Ok(Some(one)) => swept.push(one),
                Ok(None) => {}
                Err(Problem { error_type, text }) => {
                    let text = format!("cluster {}: {text}", cluster.name());
                    problems.push(Problem { error_type, text });
                }
            }
        }
        problems.extend(sweep.lacking(&swept));
        (swept, problems)
    }
}

fn out_of_time() -> Problem {
    Problem::other("ran out of time")
}

/// One sweep.
pub(crate) struct Sweep<'a> {
    reaper: &'a ScaleInReaper,
    mode: ReaperMode,
    policy: Policy,
    clock: Clock,
    /// When nothing new is begun any more.
    act_by: Timestamp,
    /// For the reads of whole clusters.
    paced_ecs: Ecs,
    /// Task definitions never change: each is read once.
    definitions: Mutex<BTreeMap<String, TaskRequirements>>,
    /// Whether groups hold an instance until it is empty, as far as that was asked.
    hooks: Mutex<BTreeMap<GroupName, bool>>,
}

impl Sweep<'_> {
    fn clients(&self) -> &Clients {
        &self.reaper.clients
    }

    /// Looks at a cluster, goes on with what an earlier sweep drained, and removes what nobody needs. `None` for a
    /// cluster that was deleted since it was listed.
    async fn cluster(
        &self,
        cluster: &Cluster,
        account: &Account,
    ) -> Result<Option<ClusterReport>, Problem> {
        let observed = match self.observe(cluster, account, Candidates::WorthReading).await {
            Ok(observed) => observed,
            // A configured cluster that does not exist is a mistake in the settings.
            Err(error)
                if error.kind == AwsErrorKind::NotFound
                    && self.reaper.settings.clusters.is_none() =>
            {
                return Ok(None);
            }
            Err(error) => return Err(Problem::from(error)),
        };
        let now = self.clock.now();
        let planned = plan(&observed.inventory, &self.policy, now);
        let load = Load { headroom: planned.headroom_before, unplaced: observed.unplaced };
        let decided = follow_up(&observed.inventory, &self.policy, &load, FUNCTION, now);

        let (earlier, load_is_back) = self.go_on(&observed.inventory, decided).await;
        let (plan, done) = if self.mode == ReaperMode::Plan {
            self.would_remove(planned)
        } else if load_is_back {
            self.postpone(planned, "load has come back")
        } else {
            self.remove(cluster, planned).await?
        };
        let never_joined = unregistered_members(&observed.inventory, &account.members());
        Ok(Some(ClusterReport { mode: self.mode, plan, done, earlier, never_joined }))
    }

    /// A permission that is lacking is an error, so that it is seen.
    fn lacking(&self, swept: &[ClusterReport]) -> Vec<Problem> {
        use ebb_aws::ErrorType::AwsDenied;
        use ebb_core::reaper::OutcomeKind::Denied;
        let denied =
            swept.iter().flat_map(ClusterReport::all_done).filter(|done| done.outcome == Denied);
        let text = |detail: &Option<String>| detail.clone().unwrap_or_default();
        denied
            .map(|done| Problem { error_type: AwsDenied, text: text(&done.detail) })
            .take(1)
            .collect()
    }

    /// Whether there is time to begin something new.
    fn has_time(&self) -> bool {
        self.clock.now() < self.act_by
    }
}
