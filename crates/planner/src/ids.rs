//! The names AWS gives to things, each with a type of its own, so that one cannot be passed for
//! another.
//!
//! Only what is dangerous to get wrong is checked: an EC2 instance id goes into a filter
//! expression. The rest is AWS's own text and is carried as it came.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An EC2 instance id: `i-` and 8 (before 2016) or 17 lowercase hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct InstanceId(String);

impl InstanceId {
    /// What [`InstanceId::parse`] accepts, in words for an error message.
    pub const EXPECTED: &'static str =
        "an EC2 instance id: `i-` and 8 or 17 lowercase hexadecimal digits";

    /// Reads an instance id; `None` if the text is not one.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix("i-")?;
        let hexadecimal = digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        (hexadecimal && matches!(digits.len(), 8 | 17)).then(|| Self(text.to_owned()))
    }

    /// The id as AWS writes it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for InstanceId {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or(Self::EXPECTED)
    }
}

impl From<InstanceId> for String {
    fn from(id: InstanceId) -> Self {
        id.0
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Declares a newtype over text that AWS or the operator chose and that is passed on unread.
///
/// `ebb-core` declares the ids by it that planning has no need of.
#[macro_export]
macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash,
            ::serde::Serialize, ::serde::Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Wraps the text as it is.
            pub fn new(text: impl Into<String>) -> Self {
                Self(text.into())
            }

            /// The text as it came.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_id! {
    /// An ECS cluster, by name or by ARN: every ECS call takes either.
    Cluster
}

text_id! {
    /// The ARN of an ECS container instance.
    ContainerInstanceArn
}

text_id! {
    /// The name of an EC2 Auto Scaling group.
    GroupName
}

impl ContainerInstanceArn {
    /// The container instance's id: what follows the last slash.
    pub fn id(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }
}

impl Cluster {
    /// The cluster's name: what follows the last slash of an ARN, or the whole of a name.
    pub fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instance_ids_have_8_or_17_hexadecimal_digits() {
        for good in ["i-1a2b3c4d", "i-0a1b2c3d4e5f60001"] {
            assert_eq!(InstanceId::parse(good).map(|id| id.to_string()).as_deref(), Some(good));
        }
        for bad in [
            "",
            "i-",
            "i-1a2b3c4",
            "i-1a2b3c4d5",
            "i-0A1B2C3D4E5F60001",
            "mi-0a1b2c3d4e5f60001",
            " i-1a2b3c4d",
            "i-1a2b3c4d ",
            "i-1a2b3c4d' or true",
            "i-ａａａａａａａａ",
        ] {
            assert_eq!(InstanceId::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_cluster_has_the_same_name_by_name_and_by_arn() {
        let arn = Cluster::new("arn:aws:ecs:eu-west-1:111122223333:cluster/shop");
        assert_eq!((arn.name(), Cluster::new("shop").name()), ("shop", "shop"));
    }
}
