//! What an invocation has to do, and how far each part has come.

use std::collections::{BTreeSet, HashSet};

use aws_lambda_events::sqs::BatchItemFailure;
use ebb_aws::{ErrorType, HandlerError, Problem};
use ebb_core::event::{Batch, Event, Record};
use ebb_core::ids::{Cluster, ContainerInstanceArn, InstanceId};
use ebb_core::spot::notice::Notice;
use ebb_core::spot::settings::SpotSettings;
use ebb_core::spot::{Answer, Outcome, OutcomeKind, ignore_reason};

/// Everything that one invocation brought.
pub(crate) struct Work {
    from_queue: bool,
    items: Vec<Item>,
    counts_fallback: bool,
    /// The container instances that this invocation has claimed for the fallback group.
    pub(crate) claimed: HashSet<ContainerInstanceArn>,
}

/// One instance with all its notices, or one event that asks for nothing.
#[derive(Default)]
pub(crate) struct Item {
    /// The notice. `None` for an event that is ignored or malformed.
    pub(crate) notice: Option<Notice>,
    /// The container instance, once it is found.
    pub(crate) container_instance: Option<(Cluster, ContainerInstanceArn)>,
    /// How it came off, once that is certain.
    pub(crate) outcome: Option<Outcome>,
    /// What is in the way, if anything was in the last round.
    pub(crate) problem: Option<Problem>,
    /// Whether it has been counted into the fallback group.
    pub(crate) counted: bool,
    /// The SQS messages that asked for it, `None` for each that came by another way.
    message_ids: Vec<Option<String>>,
}

impl Work {
    /// Sorts the records: several notices about one instance are one item.
    pub(crate) fn triage(batch: Batch<Notice>, settings: &SpotSettings) -> Self {
        let mut items: Vec<Item> = Vec::new();
        for Record { message_id, event } in batch.records {
            let mut item = match event {
                Ok(Event::Ours(notice)) => match ignore_reason(&notice, settings) {
                    Some(why) => Item::ignored(Some(notice.instance_id), why),
                    None => Item { notice: Some(notice), ..Item::default() },
                },
                Ok(Event::Ignored { instance_id, why }) => Item::ignored(instance_id, why),
                Err(error) => Item { problem: Some(error.into()), ..Item::default() },
            };
            // EventBridge and SQS may deliver a notice twice, and the other event types name the
            // same instance: one drain answers them all. Ignored events are never merged, as each
            // has its own reason.
            let twin = items
                .iter_mut()
                .find(|twin| item.notice.is_some() && twin.instance_id() == item.instance_id());
            match twin {
                Some(twin) => twin.message_ids.push(message_id),
                None => {
                    item.message_ids.push(message_id);
                    items.push(item);
                }
            }
        }
        let counts_fallback = settings.fallback_group.is_some() && !settings.dry_run;
        Self { from_queue: batch.from_queue, items, counts_fallback, claimed: HashSet::new() }
    }

    pub(crate) fn notices(&self) -> Vec<Notice> {
        self.items.iter().filter_map(|item| item.notice.clone()).collect()
    }

    /// The items whose outcome is not certain yet.
    pub(crate) fn undecided(&mut self) -> impl Iterator<Item = &mut Item> {
        self.items.iter_mut().filter(|item| item.notice.is_some() && item.outcome.is_none())
    }

    /// The interrupted container instances that are not counted into the fallback group yet.
    pub(crate) fn uncounted(&mut self) -> impl Iterator<Item = &mut Item> {
        let counts_fallback = self.counts_fallback;
        self.items.iter_mut().filter(move |item| counts_fallback && item.must_be_counted())
    }

    pub(crate) fn is_open(&mut self) -> bool {
        self.undecided().next().is_some() || self.uncounted().next().is_some()
    }

    /// Whether another round may bring more: not if all that is in the way is a missing permission.
    pub(crate) fn may_improve(&mut self) -> bool {
        // A permission does not come by waiting, so pausing would only delay the error that tells
        // somebody to grant it.
        !self.undecided().all(|item| item.is_denied())
            || !self.uncounted().all(|item| item.is_denied())
    }

    /// Ends the work: what is still open has failed.
    pub(crate) fn conclude(mut self) -> Conclusion {
        // Before the items are read below: an open item without a problem would otherwise pass as a
        // success, and its message would never be delivered again.
        self.undecided().for_each(Item::run_out_of_time);
        self.uncounted().for_each(Item::run_out_of_time);

        let notices = self.notices();
        let mut outcomes = Vec::new();
        let mut problems = Vec::new();
        let mut failed_message_ids = BTreeSet::new();
        for item in self.items {
            let subject = item.instance_id().map(|id| format!("{id}: ")).unwrap_or_default();
            // An item may have both: it was drained, but could not be counted into the fallback
            // group. Its message is delivered again then, and the second delivery finds it
            // DRAINING.
            outcomes.extend(item.outcome);
            if let Some(Problem { error_type, text }) = item.problem {
                problems.push(Problem { error_type, text: format!("{subject}{text}") });
                failed_message_ids.extend(item.message_ids);
            }
        }
        // What no message id stands for can only be run again as a whole.
        let error = HandlerError::of(&problems)
            .filter(|_| !self.from_queue || failed_message_ids.contains(&None));
        let answer = Answer {
            outcomes,
            batch_item_failures: failed_message_ids
                .into_iter()
                .flatten()
                .map(batch_item_failure)
                .collect(),
        };
        Conclusion { answer, error, problems, notices }
    }
}

fn batch_item_failure(message_id: String) -> BatchItemFailure {
    let mut failure = BatchItemFailure::default();
    failure.item_identifier = message_id;
    failure
}

impl Item {
    fn ignored(instance_id: Option<InstanceId>, why: String) -> Self {
        let outcome = Outcome {
            instance_id,
            outcome: OutcomeKind::Ignored,
            cluster: None,
            container_instance_arn: None,
            reason: Some(why),
        };
        Self { outcome: Some(outcome), ..Self::default() }
    }

    pub(crate) fn instance_id(&self) -> Option<&InstanceId> {
        self.notice.as_ref().map(|notice| &notice.instance_id)
    }

    fn must_be_counted(&self) -> bool {
        let kind = self.outcome.as_ref().map(|outcome| outcome.outcome);
        // An instance that was DRAINING already counts, too: an earlier delivery may have died
        // between draining it and counting it.
        let interrupted =
            matches!(kind, Some(OutcomeKind::Draining | OutcomeKind::AlreadyDraining));
        interrupted && !self.counted
    }

    fn is_denied(&self) -> bool {
        self.problem.as_ref().is_some_and(|problem| problem.error_type == ErrorType::AwsDenied)
    }

    /// What has no other problem by now has not been dealt with for want of time.
    fn run_out_of_time(&mut self) {
        self.problem.get_or_insert_with(|| Problem::other("ran out of time"));
    }

    /// Notes how the item came off; nothing is in its way any more.
    pub(crate) fn settle(&mut self, outcome: OutcomeKind, reason: String) {
        self.problem = None;
        self.outcome = Some(Outcome {
            instance_id: self.instance_id().cloned(),
            outcome,
            cluster: self.container_instance.as_ref().map(|(cluster, _)| cluster.name().to_owned()),
            container_instance_arn: self.container_instance.as_ref().map(|(_, arn)| arn.clone()),
            reason: Some(reason),
        });
    }
}

/// How an invocation came off.
pub(crate) struct Conclusion {
    /// What it returns, unless it fails.
    pub(crate) answer: Answer,
    /// Why it fails: something must be run again that cannot be named in the answer.
    pub(crate) error: Option<HandlerError>,
    /// What could not be dealt with.
    pub(crate) problems: Vec<Problem>,
    /// The notices that it was about.
    pub(crate) notices: Vec<Notice>,
}
