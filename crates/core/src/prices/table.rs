//! The on-demand list prices that a release carries, for where AWS's own cannot be asked for.
//!
//! `scripts/price_table.py` makes the table and says what it is made from. Which source goes before
//! which is left to `prices`.

use std::collections::BTreeMap;
use std::sync::LazyLock;

/// A line for each instance type with its prices by Region, below one with the date and the Regions.
const TABLE: &str = include_str!("table.txt");

static PRICES: LazyLock<Table> = LazyLock::new(|| Table::read(TABLE));

struct Table {
    date: &'static str,
    regions: Vec<&'static str>,
    /// The prices of each instance type, in the order of the Regions; `-` for none.
    prices: BTreeMap<&'static str, &'static str>,
}

impl Table {
    fn read(text: &'static str) -> Self {
        let mut lines = text.lines().skip_while(|line| line.starts_with('#'));
        let mut header = lines.next().unwrap_or_default().split(' ');
        Self {
            date: header.next().unwrap_or_default(),
            regions: header.collect(),
            prices: lines.filter_map(|line| line.split_once(' ')).collect(),
        }
    }
}

/// The day on which AWS asked these prices, such as 2026-07-20.
pub fn table_date() -> &'static str {
    PRICES.date
}

/// What an hour of an instance type costs in a Region, in dollars. `None` if the table does not say.
pub(super) fn list_price(instance_type: &str, region: &str) -> Option<f64> {
    let column = PRICES.regions.iter().position(|name| *name == region)?;
    let price = PRICES.prices.get(instance_type)?.split(' ').nth(column)?;
    price.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prices::microusd;

    #[test]
    fn the_table_is_whole_and_dated() {
        assert!(table_date().parse::<jiff::civil::Date>().is_ok(), "{}", table_date());
        assert!(PRICES.regions.contains(&"us-east-1"));
        for (instance_type, prices) in &PRICES.prices {
            let prices: Vec<_> = prices.split(' ').collect();
            assert_eq!(prices.len(), PRICES.regions.len(), "{instance_type}");
            let is_price = |price: &&str| price.parse().is_ok_and(|usd| microusd(usd).is_some());
            assert!(prices.iter().all(|price| *price == "-" || is_price(price)), "{instance_type}");
        }
        let types = PRICES.prices.len();
        assert!(types > 500, "{types}");
    }

    #[test]
    fn what_the_table_does_not_have_has_no_price() {
        assert_eq!(list_price("m7g.large", "us-east-1"), Some(0.0816));
        assert_eq!(list_price("m7g.large", "eu-west-1"), None);
        assert_eq!(list_price("a1.large", "us-gov-west-1"), None);
        assert_eq!(list_price("", "us-east-1"), None);
    }
}
