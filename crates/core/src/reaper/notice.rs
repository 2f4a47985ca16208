//! What people are told of a sweep: whether they are told at all, and under which title.
//!
//! What is said of each cluster is written in `text`; sending the notice is left to the function.

use std::collections::BTreeMap;

use crate::reaper::answer::Answer;
use crate::reaper::report::{ClusterReport, OutcomeKind, RemovalOutcome};
use crate::reaper::text::text;

/// How many characters a notice has at most: SNS takes 256 KiB (SNS API, `Publish`), and people
/// read less.
const NOTICE_CHARS_MAX: usize = 20_000;

/// A notice to people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// What happened to how many container instances, each counted once.
    pub subject: String,
    /// The reports of the clusters in which something happened, up to 20,000 characters.
    pub message: String,
}

/// The notice of a sweep: what was terminated, drained or taken back, what failed, and what stays
/// DRAINING as sweeps only plan now. `None` if nothing was done that people should know.
pub fn notice(answer: &Answer) -> Option<Notice> {
    let (mut counts, mut texts) = (BTreeMap::new(), Vec::new());
    for report in &answer.clusters {
        let happened: Vec<_> = what_happened(report).collect();
        if !happened.is_empty() {
            texts.push(text(report));
        }
        for word in happened {
            *counts.entry(word).or_insert(0) += 1;
        }
    }
    if texts.is_empty() {
        return None;
    }
    let counts: Vec<_> = counts.iter().map(|(word, number)| format!("{number} {word}")).collect();
    Some(Notice {
        subject: format!("Ebb's sweep of container instances: {}", counts.join(", ")),
        message: texts.join("\n").chars().take(NOTICE_CHARS_MAX).collect(),
    })
}

/// A word for each container instance of a cluster that people should know of.
fn what_happened(report: &ClusterReport) -> impl Iterator<Item = &'static str> {
    let stranded = report.stranded.iter().map(|_| "left DRAINING");
    report.all_outcomes().filter_map(word).chain(stranded)
}

fn word(outcome: &RemovalOutcome) -> Option<&'static str> {
    match outcome.outcome {
        OutcomeKind::Terminating => Some("terminated"),
        OutcomeKind::Draining => Some("drained"),
        OutcomeKind::LeftToEcs => Some("drained for ECS to take"),
        // One that failed may be ACTIVE again as well: that it failed is what people must know.
        kind if kind.is_failure() => Some("failed"),
        _ if outcome.reactivated => Some("taken back"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use ebb_planner::plan;

    use super::*;
    use crate::ids::ContainerInstanceArn;
    use crate::prices::PriceBasis;
    use crate::reaper::Potential;
    use crate::reaper::request::Purpose;
    use crate::reaper::settings::{ReaperMode, ReaperSettings};
    use crate::reaper::testing::{NOW, id, inventory};

    fn outcome(kind: OutcomeKind, reactivated: bool) -> RemovalOutcome {
        RemovalOutcome { instance_id: id(1), outcome: kind, detail: None, reactivated }
    }

    fn report(follow_ups: Vec<RemovalOutcome>, outcomes: Vec<RemovalOutcome>) -> ClusterReport {
        ClusterReport {
            mode: ReaperMode::Act,
            purpose: Purpose::Remove,
            plan: plan(&inventory(Vec::new()), &ReaperSettings::default().policy(), NOW),
            potential: Potential::default(),
            prices: PriceBasis::default(),
            outcomes,
            follow_ups,
            replacements: Vec::new(),
            stranded: Vec::new(),
            unregistered_members: Vec::new(),
            unclear_members: 0,
        }
    }

    fn notice_of(clusters: Vec<ClusterReport>) -> Option<Notice> {
        notice(&Answer { mode: ReaperMode::Act, clusters, ignored: None })
    }

    #[test]
    fn each_outcome_that_people_should_know_of_has_its_word() {
        for kind in OutcomeKind::ALL {
            for reactivated in [false, true] {
                let expected = match kind {
                    OutcomeKind::Terminating => Some("1 terminated"),
                    OutcomeKind::Draining => Some("1 drained"),
                    OutcomeKind::LeftToEcs => Some("1 drained for ECS to take"),
                    OutcomeKind::ReplacementFailed
                    | OutcomeKind::DrainRefused
                    | OutcomeKind::Throttled
                    | OutcomeKind::Denied
                    | OutcomeKind::Failed => Some("1 failed"),
                    _ if reactivated => Some("1 taken back"),
                    _ => None,
                };
                let notice = notice_of(vec![report(Vec::new(), vec![outcome(kind, reactivated)])]);
                let subject = notice.map(|notice| notice.subject);
                let expected =
                    expected.map(|done| format!("Ebb's sweep of container instances: {done}"));
                assert_eq!(subject, expected, "{kind:?}, ACTIVE again: {reactivated}");
            }
        }
    }

    /// Up to two of everything in two clusters, with what nobody is told of among them.
    #[test]
    fn the_title_counts_whatever_comes_together_and_is_never_empty() {
        let times = |number: usize, kind, reactivated| vec![outcome(kind, reactivated); number];
        let combinations = 3_usize.pow(5);
        for combination in 0..combinations {
            let digit = |place| combination / 3_usize.pow(place) % 3;
            let [terminated, drained, back, failed, left] = [0, 1, 2, 3, 4].map(digit);
            let mut first = report(
                times(back, OutcomeKind::Reactivated, true),
                [
                    times(drained, OutcomeKind::Draining, false),
                    times(1, OutcomeKind::Postponed, false),
                ]
                .concat(),
            );
            first.stranded = vec![ContainerInstanceArn::new("1"); left];
            let second = report(
                [
                    times(terminated, OutcomeKind::Terminating, false),
                    times(1, OutcomeKind::Waiting, false),
                ]
                .concat(),
                times(failed, OutcomeKind::Throttled, true),
            );
            let in_first = back + drained + left > 0;
            let in_second = terminated + failed > 0;
            let notice = notice_of(vec![first, second]);

            assert_eq!(notice.is_some(), in_first || in_second, "{notice:?}");
            let Some(Notice { subject, message }) = notice else { continue };
            let counts = [
                (drained, "drained"),
                (failed, "failed"),
                (left, "left DRAINING"),
                (back, "taken back"),
                (terminated, "terminated"),
            ];
            let counts: Vec<_> = counts
                .iter()
                .filter(|(number, _)| *number > 0)
                .map(|(number, word)| format!("{number} {word}"))
                .collect();
            assert_eq!(
                subject,
                format!("Ebb's sweep of container instances: {}", counts.join(", "))
            );
            let clusters = usize::from(in_first) + usize::from(in_second);
            assert_eq!(message.matches("Cluster shop: ").count(), clusters, "{message}");
        }
    }
}
