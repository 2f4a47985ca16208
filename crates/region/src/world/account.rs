//! The account and the Region that everything belongs to.

/// The account that everything belongs to: one of those that AWS keeps for documentation.
pub const ACCOUNT: &str = "111122223333";

/// The Region.
pub const REGION: &str = "eu-west-1";
