//! How the outcomes of a function are declared, counted for a log line, and reasoned in an answer.
//! Which outcomes there are is left to the answers of the functions.

use serde::Serializer;

use crate::words::{REASON_CHARS_MAX, cut};

/// Declares the outcomes of a function that counts each of them in a metric: each variant with its
/// word in answers and logs, and with the name of its metric, which alarms and dashboards know.
macro_rules! outcomes {
    (
        $(#[$attribute:meta])*
        pub enum $name:ident {
            $($(#[$doc:meta])* $variant:ident = $word:literal, metric $metric:literal,)+
        }
    ) => {
        $crate::vocabulary::vocabulary! {
            $(#[$attribute])*
            pub enum $name {
                $($(#[$doc])* $variant = $word,)+
            }
        }

        impl $name {
            /// The name of the metric that counts it.
            pub fn metric(self) -> &'static str {
                match self {
                    $(Self::$variant => $metric,)+
                }
            }
        }
    };
}
pub(crate) use outcomes;

/// Writes the reason of an outcome into an answer, as far as people will read it.
pub(crate) fn serialize_reason<S: Serializer>(
    reason: &Option<String>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match reason {
        Some(reason) => serializer.serialize_str(&cut(reason, REASON_CHARS_MAX)),
        None => serializer.serialize_none(),
    }
}

/// How often each outcome came about, for a log line: `2 draining`, `1 not_in_cluster`. Those that
/// did not are left out.
pub(crate) fn tally<const N: usize>(counts: [(usize, &'static str); N]) -> Vec<String> {
    counts
        .into_iter()
        .filter(|&(count, _)| count > 0)
        .map(|(count, word)| format!("{count} {word}"))
        .collect()
}

/// The parts of a log line, or `empty` if there are none.
pub(crate) fn list_or(empty: &str, parts: &[String]) -> String {
    if parts.is_empty() { empty.to_owned() } else { parts.join(", ") }
}

#[cfg(test)]
mod tests {
    use crate::{lifecycle, reaper, spot};

    #[test]
    fn a_long_reason_is_cut_in_every_answer() {
        let long = Some("x".repeat(5_000));
        let spot_outcome = spot::Outcome {
            instance_id: None,
            outcome: spot::OutcomeKind::Ignored,
            cluster: None,
            container_instance_arn: None,
            reason: long.clone(),
        };
        let lifecycle_outcome = lifecycle::Outcome {
            instance_id: None,
            outcome: lifecycle::OutcomeKind::Ignored,
            cluster: None,
            reason: long,
            tasks_left: None,
            hop: None,
        };
        let shown = format!("{}…", "x".repeat(1_000));
        assert_eq!(serde_json::to_value(spot_outcome).unwrap()["reason"], shown);
        assert_eq!(serde_json::to_value(lifecycle_outcome).unwrap()["reason"], shown);
    }

    #[test]
    fn outcome_words_in_the_answer_and_in_the_log_are_the_same() {
        for kind in spot::OutcomeKind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
        for kind in lifecycle::OutcomeKind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
        for kind in reaper::OutcomeKind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
    }

    /// Users read these words in answers: they may be added to, and not renamed.
    #[test]
    fn the_words_are_those_that_users_know() {
        assert_eq!(
            spot::OutcomeKind::ALL.map(spot::OutcomeKind::as_str),
            [
                "draining",
                "already_draining",
                "not_in_cluster",
                "ignored",
                "gone",
                "no_room",
                "would_drain",
                "reactivated",
                "not_reactivated",
                "would_reactivate",
            ]
        );
        assert_eq!(
            lifecycle::OutcomeKind::ALL.map(lifecycle::OutcomeKind::as_str),
            [
                "completed",
                "republished",
                "timed_out",
                "hook_timed_out",
                "retained",
                "reactivated",
                "ignored",
                "would_drain"
            ]
        );
        assert_eq!(
            reaper::OutcomeKind::ALL.map(reaper::OutcomeKind::as_str),
            [
                "would_remove",
                "would_reactivate",
                "terminating",
                "draining",
                "left_to_ecs",
                "waiting",
                "reactivated",
                "would_replace",
                "replacing",
                "not_replaced",
                "replacement_failed",
                "postponed",
                "gone",
                "drain_refused",
                "below_minimum",
                "not_managed",
                "scaling_activity_in_progress",
                "resource_contention",
                "throttled",
                "denied",
                "failed",
            ]
        );
    }

    /// Alarms and dashboards are built on these names, those of operators too.
    #[test]
    fn the_metrics_have_the_names_that_alarms_are_built_on() {
        assert_eq!(
            spot::OutcomeKind::ALL.map(spot::OutcomeKind::metric),
            [
                "Draining",
                "AlreadyDraining",
                "NotInCluster",
                "Ignored",
                "Gone",
                "NoRoom",
                "WouldDrain",
                "Reactivated",
                "NotReactivated",
                "WouldReactivate",
            ]
        );
        assert_eq!(
            lifecycle::OutcomeKind::ALL.map(lifecycle::OutcomeKind::metric),
            [
                "Completed",
                "Republished",
                "TimedOut",
                "HookTimedOut",
                "Retained",
                "Reactivated",
                "Ignored",
                "WouldDrain"
            ]
        );
    }
}
