//! STS's operation `GetCallerIdentity`, which a person asks first: whose account is this?

use super::query_protocol::element;
use crate::world::ACCOUNT;

/// The caller is the same user whatever the keys: no signature is checked.
pub(super) fn get_caller_identity() -> String {
    let identity = [
        element("Arn", &format!("arn:aws:iam::{ACCOUNT}:user/ebb")),
        element("UserId", "AIDACKCEVSQ6C2EXAMPLE"),
        element("Account", ACCOUNT),
    ];
    format!("<GetCallerIdentityResult>{}</GetCallerIdentityResult>", identity.concat())
}
