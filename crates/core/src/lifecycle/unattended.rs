//! How many instances an invocation takes up besides its own, where more are terminated than the
//! function has executions.
//!
//! Finding out about them, choosing among them and draining them is left to the
//! `lifecycle-drainer`.

/// How many instances one invocation takes up at once besides its own. What is beyond that is taken
/// up by another, at its next look, or by its own message.
pub const UNATTENDED_MAX: usize = 50;

/// How many unattended instances one of the invocations takes up that attend to others of the same
/// group: twice its share, as they choose by chance and without knowing of each other. What nobody
/// chooses is left to the next look, and what two choose costs calls and nothing else.
pub fn unattended_share(unattended: usize, attended: usize) -> usize {
    let share = unattended.saturating_mul(2).div_ceil(attended.max(1));
    share.min(unattended).min(UNATTENDED_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_invocations_take_up_many_instances_and_many_take_up_few() {
        for (unattended, attended, share) in [
            (0, 1, 0),
            (9, 1, 9),
            (35, 5, 14),
            (20, 10, 4),
            (1, 100, 1),
            (200, 1, UNATTENDED_MAX),
            (usize::MAX, 0, UNATTENDED_MAX),
        ] {
            assert_eq!(unattended_share(unattended, attended), share, "{unattended}, {attended}");
        }
    }
}
