//! Numbers in sentences for people: plurals, units, prices and lists, in one way everywhere.
//!
//! What the sentences say is left to those who write them.

pub use ebb_planner::words::{count, percent, seconds, share};

/// "19.9 %" for 19.99: rounded down, so that it can stand beside the limit that it is below.
pub fn share_below(percent: f64) -> String {
    // Rounded down, as 19.96 % shown as 20.0 % would not look less than 20 %.
    share((percent * 10.0).floor() / 10.0)
}

/// How many hours a month has for AWS's own price examples (AWS Pricing Calculator).
pub const HOURS_PER_MONTH: f64 = 730.0;

/// "$0.24 an hour, $175 a month".
pub fn price(usd_per_hour: f64) -> String {
    format!("${usd_per_hour:.2} an hour, ${:.0} a month", usd_per_hour * HOURS_PER_MONTH)
}

/// How many characters of a reason are shown: a few sentences. It may hold what an event or an error
/// of AWS says, which can be as long as the whole event.
pub const REASON_CHARS_MAX: usize = 1_000;

/// A text, cut off with "…" where it has more characters than that.
pub fn cut(text: &str, chars_max: usize) -> String {
    // By characters and not by bytes, which might end in the middle of one.
    match text.char_indices().nth(chars_max) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
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
    fn a_share_below_a_limit_never_reads_as_the_limit() {
        assert_eq!(share_below(19.99), "19.9 %");
    }

    #[test]
    fn a_price_is_given_by_the_hour_and_by_the_month() {
        assert_eq!(price(0.24), "$0.24 an hour, $175 a month");
        assert_eq!(price(12.5), "$12.50 an hour, $9125 a month");
    }

    #[test]
    fn a_text_is_cut_by_its_characters() {
        assert_eq!(cut("été", 3), "été");
        assert_eq!(cut("été", 2), "ét…");
        assert_eq!(cut("", 0), "");
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
