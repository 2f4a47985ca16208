//! What people are told of a drain: that it has taken half of its time, that it is given up, or that
//! its hook has cut tasks off; with what holds it and what they may do.
//!
//! What holds a drain is judged by [`crate::lifecycle::diagnosis`]; the forms are in
//! [`crate::notification`]; sending is left to the `lifecycle-drainer`.

use jiff::Timestamp;

use crate::event::Origin;
use crate::ids::{GroupName, InstanceId};
use crate::lifecycle::TasksLeft;
use crate::lifecycle::settings::OnTimeout;
use crate::notification::{Notification, NotificationKind};

/// A drain that people are told of.
#[derive(Debug, Clone)]
pub struct DrainReport<'a> {
    /// Its instance.
    pub instance_id: &'a InstanceId,
    /// The instance's group.
    pub group: &'a GroupName,
    /// The names of the clusters that its container instances are in.
    pub clusters: Vec<String>,
    /// In which account and Region.
    pub origin: Origin,
    /// The tasks left on it, if they were counted.
    pub tasks_left: Option<TasksLeft>,
    /// When it is given up.
    pub deadline: Timestamp,
    /// What happens then.
    pub on_timeout: OnTimeout,
}

/// What holds a drain, and what may be done about it, in sentences.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Diagnosis {
    /// One line for each service and reason.
    pub reasons: Vec<String>,
    /// What may be done about each, once.
    pub remedies: Vec<String>,
}

impl DrainReport<'_> {
    /// That it has taken half of its time, and is not over.
    pub fn still_drains(&self, diagnosis: &Diagnosis) -> Notification {
        Notification {
            kind: NotificationKind::StillDrains,
            title: format!("Ebb still drains {}", self.instance_id),
            next: format!("at {} {}", self.deadline, self.at_deadline()),
            ..self.held(diagnosis)
        }
    }

    /// That its time is over.
    pub fn gives_up(&self, diagnosis: &Diagnosis) -> Notification {
        Notification {
            kind: NotificationKind::GivesUp,
            title: format!("Ebb gives up draining {}", self.instance_id),
            next: format!("now {}", self.at_deadline()),
            ..self.held(diagnosis)
        }
    }

    /// That its hook's own time-out ended it, for the reason `why`, with tasks left.
    pub fn cut_off(&self, why: &str) -> Notification {
        Notification {
            kind: NotificationKind::CutOff,
            title: format!("Ebb has lost tasks on {}", self.instance_id),
            details: vec![format!("Instance {} of group {}: {why}", self.instance_id, self.group)],
            next: "the instance is terminated; ECS starts the tasks of services elsewhere, and nothing \
                   starts standalone tasks again"
                .to_owned(),
            steps: vec![
                "See whether the lifecycle drainer runs: its errors, throttles and dead letters"
                    .to_owned(),
                "See whether it may call Auto Scaling: RecordLifecycleActionHeartbeat".to_owned(),
                "Start standalone tasks again".to_owned(),
            ],
            ..self.held(&Diagnosis::default())
        }
    }

    fn held(&self, diagnosis: &Diagnosis) -> Notification {
        let Self { instance_id, group, deadline, .. } = self;
        let mut details =
            vec![format!("Instance {instance_id} of group {group}, until {deadline}:")];
        if diagnosis.reasons.is_empty() {
            details.push("nothing is known of what holds it".to_owned());
        }
        details.extend(diagnosis.reasons.iter().cloned());
        let mut steps = diagnosis.remedies.clone();
        if steps.is_empty() {
            steps.push("See the tasks on it and the events of their services".to_owned());
        }
        Notification {
            kind: NotificationKind::StillDrains,
            title: String::new(),
            origin: self.origin.clone(),
            clusters: self.clusters.clone(),
            instances: vec![self.instance_id.clone()],
            tasks: self
                .tasks_left
                .map_or_else(|| "they could not be counted".to_owned(), |tasks| tasks.to_string()),
            details,
            next: String::new(),
            steps,
            thread: self.instance_id.to_string(),
        }
    }

    fn at_deadline(&self) -> &'static str {
        match self.on_timeout {
            OnTimeout::Continue => "the instance is let go, with what still runs on it",
            OnTimeout::Abandon => {
                "its lifecycle action is abandoned: the instance goes with what still runs on it, \
                 unless its group retains it"
            }
            OnTimeout::Retain => {
                "its group retains the instance, if it is set up to; if not, the instance is let go \
                 with what still runs on it"
            }
            OnTimeout::Reactivate => {
                "its container instance is set to ACTIVE again, and its lifecycle action is left to \
                 its own time-out"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notification::testing::{forms, id, origin};

    fn told(on_timeout: OnTimeout) -> [Notification; 3] {
        let report = DrainReport {
            instance_id: &id(1),
            group: &GroupName::new("shop-spot"),
            clusters: vec!["shop".to_owned()],
            origin: origin(),
            tasks_left: Some(TasksLeft { service: 1, standalone: 2, ..TasksLeft::default() }),
            deadline: "2025-03-04T06:00:00Z".parse().unwrap(),
            on_timeout,
        };
        let diagnosis = Diagnosis {
            reasons: vec!["2 standalone tasks: DRAINING leaves standalone tasks alone".to_owned()],
            remedies: vec!["Stop them".to_owned()],
        };
        [
            report.still_drains(&diagnosis),
            report.gives_up(&diagnosis),
            report.cut_off("no heartbeat"),
        ]
    }

    #[test]
    fn each_form_says_what_holds_a_drain_and_what_comes_of_it() {
        let [still_drains, gives_up, cut_off] = told(OnTimeout::Continue);
        insta::assert_snapshot!("still_drains", forms(&still_drains));
        insta::assert_snapshot!("gives_up", forms(&gives_up));
        insta::assert_snapshot!("cut_off", forms(&cut_off));
    }

    #[test]
    fn what_happens_at_the_deadline_follows_the_setting() {
        let next = OnTimeout::ALL.map(|on_timeout| told(on_timeout)[0].next.clone());
        insta::assert_snapshot!("at_deadline", next.join("\n"));
    }
}
