//! What an invocation has to do, and how far each part has come.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use ebb_aws::{HandlerError, Problem};
use ebb_core::event::{Event, Origin, Record, batch_item_failures};
use ebb_core::ids::{CapacityReservationId, ContainerInstanceArn, GroupName, InstanceId};
use ebb_core::spot::fallback::group::FallbackGroup;
use ebb_core::spot::notice::{Announcement, Notice, Subject};
use ebb_core::spot::settings::SpotSettings;
use ebb_core::spot::{Answer, ignore_reason, weightier};
use jiff::Timestamp;

use crate::item::{Item, Pass};

/// Everything that one invocation brought.
pub(crate) struct Work {
    items: Vec<Item>,
    counts_fallback: bool,
    /// The container instances that this invocation has claimed for the fallback group.
    pub(crate) claimed: HashSet<ContainerInstanceArn>,
    /// Those of them that it has raised the group for.
    pub(crate) raised: HashSet<ContainerInstanceArn>,
    /// How many interrupted instances the fallback group does not replace by now, by the reason.
    pub(crate) shortages: BTreeMap<String, usize>,
}

impl Work {
    /// Sorts the records: several notices about one instance are one item. The function is at
    /// `home`.
    pub(crate) fn triage(
        records: Vec<Record<Announcement>>,
        settings: &SpotSettings,
        home: &Origin,
        now: Timestamp,
    ) -> Self {
        let mut items: Vec<Item> = Vec::new();
        for Record { message_id, event } in records {
            let items_of_event = match event {
                Ok(Event::Ours(announcement)) => {
                    let ignored = ignore_reason(&announcement, settings, home, now);
                    items_of(announcement, ignored)
                }
                Ok(Event::Ignored { instance_id, why }) => vec![Item::ignored(instance_id, why)],
                Err(error) => vec![Item::malformed(error.into())],
            };
            for mut item in items_of_event {
                item.message_ids.push(message_id.clone());
                add(&mut items, item);
            }
        }
        let counts_fallback = settings.has_fallback() && !settings.dry_run;
        Self { items, ..Self::new(counts_fallback) }
    }

    fn new(counts_fallback: bool) -> Self {
        Self {
            items: Vec::new(),
            counts_fallback,
            claimed: HashSet::new(),
            raised: HashSet::new(),
            shortages: BTreeMap::new(),
        }
    }

    /// The notices about Capacity Reservations whose instances are not known yet.
    pub(crate) fn open_reservations(&mut self) -> Vec<Announcement> {
        self.undecided().filter_map(|item| item.reservation.clone()).collect()
    }

    /// What is to be dealt with one after the other, to the report. What is interrupted has two
    /// minutes, and people are to hear of it; whether there is room for what may be interrupted takes
    /// a look at all of its cluster, which may take all the time that is left.
    pub(crate) fn into_parts(mut self) -> Vec<Self> {
        let is_recommended = |item: &mut Item| item.is_part_of(Pass::Recommended);
        let items: Vec<_> = self.items.extract_if(.., is_recommended).collect();
        let recommended = Self { items, ..Self::new(self.counts_fallback) };
        match (self.items.is_empty(), recommended.items.is_empty()) {
            (_, true) => vec![self],
            (true, false) => vec![recommended],
            (false, false) => vec![self, recommended],
        }
    }

    /// Puts the instances of a Capacity Reservation in the place of the notice about it.
    pub(crate) fn resolve(
        &mut self,
        announcement: &Announcement,
        id: &CapacityReservationId,
        instance_ids: &[InstanceId],
    ) {
        let is_meant = |item: &mut Item| item.reservation.as_ref() == Some(announcement);
        for mut item in self.items.extract_if(.., is_meant).collect::<Vec<_>>() {
            if instance_ids.is_empty() {
                item.settle_empty(format!("no instance runs in Capacity Reservation {id}"));
                self.items.push(item);
                continue;
            }
            for instance_id in instance_ids {
                let mut on_instance = Item::about(announcement.notice(instance_id.clone()));
                on_instance.message_ids.clone_from(&item.message_ids);
                add(&mut self.items, on_instance);
            }
        }
    }

    /// Notes why EC2 could not be asked for them.
    pub(crate) fn note_unresolved(&mut self, announcement: &Announcement, problem: &Problem) {
        for item in self.undecided() {
            if item.reservation.as_ref() == Some(announcement) {
                item.problem = Some(problem.clone());
            }
        }
    }

    /// Every instance with its notices, and every event that asks for nothing.
    pub(crate) fn items(&mut self) -> impl Iterator<Item = &mut Item> {
        self.items.iter_mut()
    }

    pub(crate) fn notices(&self) -> Vec<Notice> {
        self.items.iter().filter_map(|item| item.notice.clone()).collect()
    }

    /// The items whose outcome is not certain yet.
    pub(crate) fn undecided(&mut self) -> impl Iterator<Item = &mut Item> {
        self.items.iter_mut().filter(|item| item.is_ours() && !item.is_settled())
    }

    /// The items of a pass that are about an instance, settled or not: another cluster may have one
    /// more container instance on it.
    pub(crate) fn about(
        &mut self,
        pass: Pass,
        instance_id: &InstanceId,
    ) -> impl Iterator<Item = &mut Item> {
        let items = self.items.iter_mut().filter(move |item| item.is_part_of(pass));
        items.filter(move |item| item.instance_id() == Some(instance_id))
    }

    /// The items for which a pass may bring more.
    pub(crate) fn open_in(&mut self, pass: Pass) -> impl Iterator<Item = &mut Item> {
        let open = self.undecided().filter(|item| item.problem.is_none());
        open.filter(move |item| item.is_part_of(pass))
    }

    /// Ends a pass over the clusters: what is in the way of one that is settled, such as a
    /// configured cluster that does not exist, is in its way no more.
    pub(crate) fn end_pass(&mut self) {
        let settled = self.items.iter_mut().filter(|item| item.notice.is_some());
        settled.filter(|item| item.is_settled()).for_each(|item| item.problem = None);
    }

    /// The instances with interrupted container instances that are not counted into the fallback group yet.
    pub(crate) fn uncounted(&mut self) -> impl Iterator<Item = &mut Item> {
        let counts_fallback = self.counts_fallback;
        self.items.iter_mut().filter(move |item| counts_fallback && item.must_be_counted())
    }

    /// Those of them on one instance.
    pub(crate) fn uncounted_on(&mut self, id: &InstanceId) -> impl Iterator<Item = &mut Item> {
        self.uncounted().filter(move |item| item.instance_id() == Some(id))
    }

    /// Notes that the fallback group has no room for so many instances, and says it in words.
    pub(crate) fn note_no_room(
        &mut self,
        name: &GroupName,
        group: &FallbackGroup,
        number: usize,
    ) -> String {
        let reason = format!("fallback group {name} has no room: {}", group.fullness());
        *self.shortages.entry(reason.clone()).or_default() += number;
        reason
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

    /// What is in the way of items, each text once.
    pub(crate) fn distinct_problems(&self) -> BTreeSet<&str> {
        let problems = self.items.iter().filter_map(|item| item.problem.as_ref());
        problems.map(|problem| problem.text.as_str()).collect()
    }

    /// Ends the work: what is still open has failed, for want of time if for nothing else.
    pub(crate) fn conclude(mut self, out_of_time: &Problem) -> Conclusion {
        // Before the items are read below: an open item without a problem would otherwise pass as a
        // success, and its message would never be delivered again.
        self.undecided().for_each(|item| item.run_out_of_time(out_of_time));
        self.uncounted().for_each(|item| item.run_out_of_time(out_of_time));

        let notices = self.notices();
        let mut outcomes = Vec::new();
        let mut problems = Vec::new();
        let mut failed_message_ids = BTreeSet::new();
        for mut item in self.items {
            let subject = item.instance_id().map(|id| format!("{id}: ")).unwrap_or_default();
            // An item may have both: it was drained, but could not be counted into the fallback
            // group. Its message is delivered again then, and the second delivery finds it
            // DRAINING.
            outcomes.extend(item.outcomes());
            if let Some(Problem { error_type, text }) = item.problem {
                problems.push(Problem { error_type, text: format!("{subject}{text}") });
                failed_message_ids.extend(item.message_ids);
            }
        }
        // What no message id stands for can only be run again as a whole.
        let error = HandlerError::of(&problems).filter(|_| failed_message_ids.contains(&None));
        let answer =
            Answer { outcomes, batch_item_failures: batch_item_failures(failed_message_ids) };
        Conclusion { answer, error, problems, notices, shortages: self.shortages }
    }
}

/// The items of a notice: of each instance that it names, or of the reservation that they are in.
fn items_of(announcement: Announcement, ignored: Option<String>) -> Vec<Item> {
    match (&announcement.subject, ignored) {
        (Subject::Instances(ids), Some(why)) => {
            ids.iter().map(|id| Item::ignored(Some(id.clone()), why.clone())).collect()
        }
        (Subject::Instances(ids), None) => {
            ids.iter().map(|id| Item::about(announcement.notice(id.clone()))).collect()
        }
        (Subject::CapacityReservation(_), Some(why)) => vec![Item::ignored(None, why)],
        (Subject::CapacityReservation(_), None) => vec![Item::about_reservation(announcement)],
    }
}

fn add(items: &mut Vec<Item>, mut item: Item) {
    // EventBridge and SQS may deliver a notice twice, and the other event types name the same
    // instance: one drain answers them all. Ignored events are never merged, as each has its own
    // reason.
    let twin = items.iter_mut().find(|twin| item.is_twin_of(twin));
    match twin {
        Some(twin) => {
            twin.message_ids.append(&mut item.message_ids);
            twin.notice = match (twin.notice.take(), item.notice) {
                (Some(earlier), Some(notice)) => Some(weightier(earlier, notice)),
                (earlier, notice) => earlier.or(notice),
            };
        }
        None => items.push(item),
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
    /// How many interrupted instances the fallback group does not replace by now, by the reason.
    pub(crate) shortages: BTreeMap<String, usize>,
}
