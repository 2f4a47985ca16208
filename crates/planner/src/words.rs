//! Numbers in sentences for people: plurals and units, in one way everywhere.

use std::fmt::Display;

use jiff::SignedDuration;

/// "1 task", "2 tasks". For nouns whose plural takes an s.
pub fn count<N: Display + PartialEq + From<u8>>(number: N, noun: &str) -> String {
    let plural = if number == N::from(1) { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

/// "20 %": a whole number of percent, as settings have it.
pub fn percent(percent: u32) -> String {
    format!("{percent} %")
}

/// "45.2 %": a measured share, from a number of percent.
pub fn share(percent: f64) -> String {
    format!("{percent:.1} %")
}

/// "900 s", in the unit that settings have.
pub fn seconds(duration: SignedDuration) -> String {
    format!("{} s", duration.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_singular_and_every_other_number_plural() {
        assert_eq!(count(0, "task"), "0 tasks");
        assert_eq!(count(1, "task"), "1 task");
        assert_eq!(count(2_u32, "task"), "2 tasks");
    }

    #[test]
    fn a_unit_stands_behind_its_number() {
        assert_eq!(percent(20), "20 %");
        assert_eq!(share(45.249), "45.2 %");
        assert_eq!(seconds(SignedDuration::from_mins(15)), "900 s");
    }
}
