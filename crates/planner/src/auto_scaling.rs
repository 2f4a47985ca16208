//! Auto Scaling's own noun for where an instance stands in its group.

use std::fmt;

/// Declares the enum with each word as AWS writes it, so that no word stands twice.
macro_rules! lifecycle_states {
    ($($variant:ident => $word:literal,)*) => {
        /// Where an instance stands in its Auto Scaling group. Source: Auto Scaling API Reference,
        /// `Instance.LifecycleState`.
        #[derive(Debug, Clone, PartialEq, Eq)]
        #[expect(missing_docs, reason = "AWS's words")]
        pub enum LifecycleState {
            $($variant,)*
            /// A word that AWS added later, or none.
            Other(String),
        }

        impl From<&str> for LifecycleState {
            fn from(word: &str) -> Self {
                match word {
                    $($word => Self::$variant,)*
                    _ => Self::Other(word.to_owned()),
                }
            }
        }

        impl LifecycleState {
            /// The word as AWS writes it.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $word,)*
                    Self::Other(word) => word,
                }
            }
        }
    };
}

lifecycle_states! {
    Pending => "Pending",
    PendingWait => "Pending:Wait",
    PendingProceed => "Pending:Proceed",
    Quarantined => "Quarantined",
    InService => "InService",
    Terminating => "Terminating",
    TerminatingWait => "Terminating:Wait",
    TerminatingProceed => "Terminating:Proceed",
    TerminatingRetained => "Terminating:Retained",
    Terminated => "Terminated",
    Detaching => "Detaching",
    Detached => "Detached",
    EnteringStandby => "EnteringStandby",
    Standby => "Standby",
    ReplacingRootVolume => "ReplacingRootVolume",
    ReplacingRootVolumeWait => "ReplacingRootVolume:Wait",
    ReplacingRootVolumeProceed => "ReplacingRootVolume:Proceed",
    RootVolumeReplaced => "RootVolumeReplaced",
    WarmedPending => "Warmed:Pending",
    WarmedPendingWait => "Warmed:Pending:Wait",
    WarmedPendingProceed => "Warmed:Pending:Proceed",
    WarmedPendingRetained => "Warmed:Pending:Retained",
    WarmedTerminating => "Warmed:Terminating",
    WarmedTerminatingWait => "Warmed:Terminating:Wait",
    WarmedTerminatingProceed => "Warmed:Terminating:Proceed",
    WarmedTerminatingRetained => "Warmed:Terminating:Retained",
    WarmedTerminated => "Warmed:Terminated",
    WarmedStopped => "Warmed:Stopped",
    WarmedRunning => "Warmed:Running",
    WarmedHibernated => "Warmed:Hibernated",
}

impl LifecycleState {
    /// Whether the group terminates the instance, by whatever stage of it. Words that AWS may add
    /// begin as the known ones do, so the beginning of the word decides.
    pub fn is_terminating(&self) -> bool {
        // By how the word begins, so that a state that AWS adds to these later counts as well.
        self.as_str().starts_with("Terminat")
    }

    /// Whether the instance is in the group's warm pool, or on its way into it or out of it.
    pub fn is_warmed(&self) -> bool {
        self.as_str().starts_with("Warmed")
    }
}

impl fmt::Display for LifecycleState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_read_and_written_as_it_came() {
        for word in ["InService", "Terminating:Wait", "Warmed:Pending:Wait", "Terminating:Later"] {
            assert_eq!(LifecycleState::from(word).to_string(), word);
        }
        assert_eq!(LifecycleState::from("InService"), LifecycleState::InService);
        assert_eq!(LifecycleState::from(""), LifecycleState::Other(String::new()));
    }

    #[test]
    fn terminating_and_warmed_are_told_by_the_beginning_of_the_word() {
        for (word, is_terminating, is_warmed) in [
            ("Terminating:Wait", true, false),
            ("Terminated", true, false),
            ("Terminating:Later", true, false),
            ("Warmed:Terminating:Wait", false, true),
            ("Warmed:Running", false, true),
            ("InService", false, false),
        ] {
            let state = LifecycleState::from(word);
            assert_eq!(state.is_terminating(), is_terminating, "{word}");
            assert_eq!(state.is_warmed(), is_warmed, "{word}");
        }
    }
}
