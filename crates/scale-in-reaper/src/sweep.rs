//! One sweep: what it may do, how long it may take, and what it has read so far.

use std::collections::BTreeMap;
use std::time::Duration;

use ebb_aws::{AwsError, AwsErrorKind, Clients, Clock, Ecs, Observer, PriceReader, Problem};
use ebb_core::ids::GroupName;
use ebb_core::reaper::request::Purpose;
use ebb_core::reaper::settings::{ReaperMode, ReaperSettings};
use ebb_planner::Policy;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::Mutex;
use tokio::time::sleep;
use tracing::warn;

use crate::zonal_shifts::ShiftLooks;

/// The function's name, as in logs and metrics, and in the marks on what it drains.
pub const FUNCTION: &str = "scale-in-reaper";

/// With less time than this nothing new is begun: a drain that was begun is to be carried on, or
/// taken back. It is half of the time if that is less.
const ACT_MARGIN: SignedDuration = SignedDuration::from_secs(30);

/// How long to wait before a look that failed is made again, after the SDK's own attempts.
const PAUSES_AFTER_FAILURE: [Duration; 2] = [Duration::from_secs(5), Duration::from_secs(30)];

/// One sweep over every cluster.
pub(crate) struct Sweep<'a> {
    pub(crate) clients: &'a Clients,
    /// ECS, read no faster than leaves room for everybody else.
    pub(crate) paced_ecs: Ecs,
    /// Who looks at clusters.
    pub(crate) observer: Observer<'a>,
    pub(crate) settings: &'a ReaperSettings,
    pub(crate) prices: &'a PriceReader,
    pub(crate) mode: ReaperMode,
    pub(crate) purpose: Purpose,
    pub(crate) policy: Policy,
    pub(crate) clock: Clock,
    /// When nothing new is begun any more.
    act_by: Timestamp,
    /// Whether groups hold an instance until it is empty. Each group is asked once.
    pub(crate) holding_groups: Mutex<BTreeMap<GroupName, bool>>,
    /// What is known of zonal shifts.
    pub(crate) shift_looks: Mutex<ShiftLooks>,
}

impl<'a> Sweep<'a> {
    /// Begins a sweep that removes what nobody needs, and that is cut off at `deadline`.
    pub(crate) fn new(
        clients: &'a Clients,
        settings: &'a ReaperSettings,
        prices: &'a PriceReader,
        mode: ReaperMode,
        clock: Clock,
        deadline: Timestamp,
    ) -> Self {
        let time_left = deadline.duration_since(clock.now());
        let (paced_ecs, policy) = (clients.ecs.paced(), settings.policy());
        Self {
            clients,
            observer: Observer::new(clients, paced_ecs.clone(), policy.task_headroom.clone()),
            paced_ecs,
            settings,
            prices,
            mode,
            purpose: Purpose::Remove,
            policy,
            clock,
            act_by: deadline - ACT_MARGIN.min(time_left / 2),
            holding_groups: Mutex::default(),
            shift_looks: Mutex::default(),
        }
    }

    /// The same sweep for another purpose. One that replaces removes nothing else.
    pub(crate) fn with_purpose(self, purpose: Purpose) -> Self {
        Self { purpose, policy: purpose.policy(self.settings), ..self }
    }

    /// Makes a look, and makes it again if it fails: the next sweep comes in half an hour only. What
    /// cannot help, a missing permission or a cluster that is gone, is not tried again.
    pub(crate) async fn looking<T, Look>(&self, look: impl Fn() -> Look) -> Result<T, AwsError>
    where
        Look: Future<Output = Result<T, AwsError>>,
    {
        for pause in PAUSES_AFTER_FAILURE {
            match look().await {
                Err(error) if is_worth_another_look(&error) && self.has_time() => {
                    let cause = Problem::from(error).text;
                    warn!("Looks again in {} s: {cause}", pause.as_secs());
                    sleep(pause).await;
                }
                result => return result,
            }
        }
        look().await
    }

    /// Whether there is time to begin something new.
    pub(crate) fn has_time(&self) -> bool {
        self.clock.now() < self.act_by
    }
}

fn is_worth_another_look(error: &AwsError) -> bool {
    matches!(error.kind, AwsErrorKind::Throttled | AwsErrorKind::Other)
}
