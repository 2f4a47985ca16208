//! Numbers in sentences for people: plurals, units, prices and lists, in one way everywhere.
//!
//! What the sentences say is left to those who write them.

use std::fmt::Display;

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

/// "19.9 %" for 19.99: rounded down, so that it can stand beside the limit that it is below.
pub fn share_below(percent: f64) -> String {
    share((percent * 10.0).floor() / 10.0)
}

/// How many hours a month has for AWS's own price examples (AWS Pricing Calculator).
const HOURS_PER_MONTH: f64 = 730.0;

/// "$0.24 an hour, $175 a month".
pub fn price(usd_per_hour: f64) -> String {
    format!("${usd_per_hour:.2} an hour, ${:.0} a month", usd_per_hour * HOURS_PER_MONTH)
}

/// "a, b and c".
pub fn list(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [item] => item.clone(),
        [items @ .., last] => format!("{} and {last}", items.join(", ")),
    }
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
        assert_eq!(share_below(19.99), "19.9 %");
    }

    #[test]
    fn a_price_is_given_by_the_hour_and_by_the_month() {
        assert_eq!(price(0.24), "$0.24 an hour, $175 a month");
        assert_eq!(price(12.5), "$12.50 an hour, $9125 a month");
    }

    #[test]
    fn the_last_item_of_a_list_follows_an_and() {
        let items = ["a", "b", "c"].map(str::to_owned);
        assert_eq!(list(&[]), "");
        assert_eq!(list(&items[..1]), "a");
        assert_eq!(list(&items[..2]), "a and b");
        assert_eq!(list(&items), "a, b and c");
    }
}
