//! Why a command could not do what it was asked for: a sentence that says what to do next, and the
//! exit code.

use ebb_aws::{AwsError, AwsErrorKind, Problem};
use ebb_core::ids::Cluster;

/// The exit codes beside 0, which is "done".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum ExitCode {
    /// AWS, or this machine, did not do what was asked of it. Trying again may help.
    Failed = 1,
    /// What was given is wrong: options, a file, a cluster, credentials, permissions. Trying again
    /// does not help.
    Input = 2,
}

/// What went wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The exit code.
    pub exit_code: ExitCode,
    /// What it is and what to do about it, without a full stop.
    pub text: String,
}

/// Where the policy is that allows what `ebb` reads.
const POLICY: &str = "docs/ebb-read-only-policy.json";

/// The codes of AWS for credentials that are none any more. Source: the "Common Errors" of ECS and
/// Auto Scaling in their API references.
const EXPIRED: [&str; 5] = [
    "ExpiredToken",
    "UnrecognizedClientException",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "SignatureDoesNotMatch",
];

impl Failure {
    /// Something that is wrong with what was given.
    pub fn input(text: impl Into<String>) -> Self {
        Self { exit_code: ExitCode::Input, text: text.into() }
    }

    /// Something that trying again may help against.
    pub fn failed(text: impl Into<String>) -> Self {
        Self { exit_code: ExitCode::Failed, text: text.into() }
    }

    /// A call that failed, about this cluster if it was about one.
    pub fn of_call(error: AwsError, cluster: Option<&Cluster>, region: &str) -> Self {
        let kind = error.kind;
        let Problem { text, .. } = error.into();
        match (kind, cluster) {
            (AwsErrorKind::NotFound, Some(cluster)) => Self::input(format!(
                "there is no cluster {} in {region}: `aws ecs list-clusters` shows those that there \
                 are, and --region and --profile choose where",
                cluster.name()
            )),
            (AwsErrorKind::Denied, _) => {
                Self::input(format!("{text}: {POLICY} allows all that ebb reads"))
            }
            _ if EXPIRED.iter().any(|code| text.contains(code)) => Self::input(format!(
                "{text}: AWS does not take these credentials; sign in again, or choose others by \
                 --profile"
            )),
            _ => Self::failed(format!("{text}: try again")),
        }
    }
}
