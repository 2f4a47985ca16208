//! The launch template of a group: which version it names, and what the aliases stand for. What is
//! in a version is not simulated: every instance is launched alike.
//!
//! Sources: EC2 API, `LaunchTemplate`; Auto Scaling API, `LaunchTemplateSpecification`.

/// The launch template of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaunchTemplate {
    /// The version that the group names: a number, `$Latest` or `$Default`.
    pub version: String,
    /// What `$Default` stands for.
    pub default: u64,
    /// What `$Latest` stands for.
    pub latest: u64,
}

impl Default for LaunchTemplate {
    fn default() -> Self {
        Self { version: "$Default".to_owned(), default: 1, latest: 1 }
    }
}

impl LaunchTemplate {
    /// The version that the group launches now.
    pub fn resolved(&self) -> u64 {
        match self.version.as_str() {
            "$Latest" => self.latest,
            "$Default" => self.default,
            number => number.parse().unwrap_or(self.default),
        }
    }
}

/// The id of a group's launch template: each group has one of its own.
pub fn launch_template_id(group: &str) -> String {
    let number = group
        .bytes()
        .fold(0_u64, |number, byte| number.wrapping_mul(31).wrapping_add(u64::from(byte)));
    format!("lt-{number:017x}")
}
