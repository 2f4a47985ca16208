//! Numbers and times in what the commands print, in one way everywhere.

use jiff::Timestamp;

/// Dollars of millionths of one.
#[expect(clippy::cast_precision_loss, reason = "shown to people; no decision is made by it")]
pub(crate) fn usd(microusd: u64) -> f64 {
    microusd as f64 / 1e6
}

/// To a tenth.
pub(crate) fn rounded(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}

/// "45 s", "12 min", "5 h", "3 days": how long ago, in its greatest unit.
pub(crate) fn age(then: Timestamp, now: Timestamp) -> String {
    let seconds = now.duration_since(then).as_secs().max(0);
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// A text without what would steer a terminal: whoever wrote a recording may be a stranger.
pub(crate) fn printable(text: &str) -> String {
    text.chars().filter(|c| *c == '\n' || !c.is_control()).collect()
}
