//! Numbers as a page shows them.

use jiff::{SignedDuration, Timestamp};

/// Thousands apart, as people read them: "12,288".
pub(crate) fn grouped(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if number < 0 { format!("−{text}") } else { text }
}

/// What a part is of a whole, in percent from 0 to 100; 0 where there is no whole.
#[expect(clippy::cast_precision_loss, reason = "to draw; nothing is decided by it")]
pub(crate) fn share(part: i64, whole: i64) -> f64 {
    if whole <= 0 { 0.0 } else { (part as f64 * 100.0 / whole as f64).clamp(0.0, 100.0) }
}

/// Minutes and seconds: "02:09", "75:00".
pub(crate) fn clock(duration: SignedDuration) -> String {
    let seconds = duration.as_secs();
    format!("{:02}:{:02}", seconds / 60, seconds % 60)
}

/// "2025-03-04 05:00 UTC".
pub(crate) fn moment(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        for (number, text) in
            [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567"), (-2048, "−2,048")]
        {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn a_share_is_drawn_within_its_bar() {
        assert_eq!([share(1, 4), share(5, 4), share(-1, 4), share(1, 0)], [25.0, 100.0, 0.0, 0.0]);
    }

    #[test]
    fn a_time_has_minutes_and_seconds() {
        assert_eq!(clock(SignedDuration::from_secs(4509)), "75:09");
    }
}
