#![doc = include_str!("../README.md")]

mod act;
mod cluster;
mod fallback;
mod follow_up;
mod group_types;
mod never_joined;
mod observe;
mod patience;
mod people;
mod replace;
mod report;
mod retained;
mod summary;
mod survey;
mod sweep;
mod zonal_shifts;

use ebb_aws::{Clients, Clock, HandlerError, PriceReader, Problem};
use ebb_core::event::Event;
use ebb_core::reaper::request::{Purpose, Request};
use ebb_core::reaper::settings::{ReaperMode, ReaperSettings};
use ebb_core::reaper::{Answer, ClusterReport, request};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tokio::time::timeout_at;
use tracing::{Instrument, warn};

use crate::cluster::{missing_permissions, sweep_cluster};
pub use crate::observe::Observation;
use crate::people::tell_people;
use crate::report::{cluster_span, report};
pub use crate::survey::Survey;
pub use crate::sweep::FUNCTION;
use crate::sweep::Sweep;

/// What is kept of the invocation's time for the answer, so that Lambda never cuts the function off
/// without one. It is a quarter of the time if that is less.
const ANSWER_MARGIN: SignedDuration = SignedDuration::from_secs(3);

/// The function, with everything that it keeps between invocations.
#[derive(Debug)]
pub struct ScaleInReaper {
    clients: Clients,
    settings: ReaperSettings,
    prices: PriceReader,
}

impl ScaleInReaper {
    /// Puts the function together.
    pub fn new(clients: Clients, settings: ReaperSettings) -> Self {
        let prices = PriceReader::new(clients.clone());
        Self { clients, settings, prices }
    }

    /// Handles one invocation, which began at `now` and is cut off at `deadline`: one sweep over
    /// every cluster, or what a week came to in each.
    ///
    /// # Errors
    /// Only for "run this event again": a malformed request, a cluster that could not be
    /// observed, or a missing permission. Every other cluster is swept first. What AWS refuses is
    /// no error: it stands in the answer.
    pub async fn handle(
        &self,
        payload: &Value,
        now: Timestamp,
        deadline: Timestamp,
    ) -> Result<Answer, HandlerError> {
        let clock = Clock::start(now);
        let mut answer = Answer {
            mode: self.settings.mode,
            clusters: Vec::new(),
            summaries: None,
            ignored: None,
        };
        let (mut problems, mut sweep) = (Vec::new(), None);
        match request::read(payload) {
            Err(error) => problems.push(Problem::from(error)),
            Ok(Event::Ignored { why, .. }) => answer.ignored = Some(why),
            Ok(Event::Ours(Request::Summary)) => {
                answer.mode = ReaperMode::Plan;
                let summaries;
                (summaries, problems) = Box::pin(self.sum_up(clock, deadline)).await;
                answer.summaries = Some(summaries);
            }
            Ok(Event::Ours(Request::Sweep(asked))) => {
                sweep = Some(asked);
                if asked.exceeds(self.settings.mode) {
                    warn!("Asked to act, but REAPER_MODE is `plan`: nothing will be changed");
                }
                answer.mode = asked.mode(self.settings.mode);
                // Boxed, as the SDK's futures are large and deeply nested.
                (answer.clusters, problems) =
                    Box::pin(self.sweep(answer.mode, asked.purpose, clock, deadline)).await;
            }
        }
        Box::pin(tell_people(&self.clients, &self.settings, &answer, clock, deadline)).await;
        report(&self.settings, sweep, &answer, &problems, clock);
        HandlerError::of(&problems).map_or(Ok(answer), Err)
    }

    /// Sweeps cluster by cluster, so that one which cannot be observed hides no other.
    async fn sweep(
        &self,
        mode: ReaperMode,
        purpose: Purpose,
        clock: Clock,
        deadline: Timestamp,
    ) -> (Vec<ClusterReport>, Vec<Problem>) {
        let time_left = deadline.duration_since(clock.now());
        let answer_by = clock.instant(deadline - ANSWER_MARGIN.min(time_left / 4));
        let sweep = Sweep::new(&self.clients, &self.settings, &self.prices, mode, clock, deadline)
            .with_purpose(purpose);
        let look = async || {
            let clusters = self.clients.ecs.clusters(self.settings.clusters.as_deref()).await?;
            Ok((clusters, sweep.observe_groups().await?))
        };
        let start = async { sweep.looking(look).await.map_err(Problem::from) };
        let (clusters, groups) = match timeout_at(answer_by, start)
            .await
            .unwrap_or_else(|_| Err(self.clients.out_of_time(clock)))
        {
            Ok(started) => started,
            Err(problem) => return (Vec::new(), vec![problem]),
        };
        let mut reports = Vec::new();
        // First of all, so that what this sweep has seen counts even if it comes no further.
        let mut problems = match mode {
            ReaperMode::Plan => Vec::new(),
            ReaperMode::Act => timeout_at(answer_by, Box::pin(sweep.note_fallbacks(&groups)))
                .await
                .unwrap_or_else(|_| vec![self.clients.out_of_time(clock)]),
        };
        for cluster in &clusters {
            let run = sweep_cluster(&sweep, cluster, &groups).instrument(cluster_span(cluster));
            let run = Box::pin(run);
            match timeout_at(answer_by, run)
                .await
                .unwrap_or_else(|_| Err(self.clients.out_of_time(clock)))
            {
                Ok(Some(report)) => reports.push(report),
                Ok(None) => {}
                Err(Problem { error_type, text }) => {
                    let text = format!("cluster {}: {text}", cluster.name());
                    problems.push(Problem { error_type, text });
                }
            }
        }
        sweep.settle_never_joined(&mut reports, &clusters, answer_by).await;
        // A denied call is in the report as an outcome; as a problem it fails the invocation, too,
        // so that an alarm sees it.
        problems.extend(missing_permissions(&reports));
        // So does a look at zonal shifts that failed.
        problems.extend(sweep.shift_looks.into_inner().problem);
        (reports, problems)
    }
}
