//! What an hour of each instance costs: what the operator states, else AWS's prices as far as they
//! were read, else the table of the release.
//!
//! Reading AWS's prices is left to `ebb-aws`; what a plan makes of prices, to `ebb-planner`.

mod table;

use std::collections::{BTreeMap, BTreeSet};

use ebb_planner::Instance;

use self::table::list_price;
pub use self::table::table_date;
use crate::ids::InstanceId;
use crate::vocabulary::vocabulary;
use crate::words;

/// Far above what the dearest instance type costs an hour: a greater price is a slip of the pen.
const PRICE_MAX_USD: f64 = 10_000.0;

vocabulary! {
    /// Where a price is from.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
    pub enum PriceSource {
        /// The setting `INSTANCE_PRICES`.
        InstancePrices = "instance_prices",
        /// What EC2 charges for Spot Instances of the type in the zone (EC2 API,
        /// `DescribeSpotPriceHistory`).
        SpotPriceHistory = "spot_price_history",
        /// The on-demand list price in the Region (AWS Price List API, `GetProducts`).
        PriceList = "price_list",
        /// The on-demand list price in the Region, as it was on the day of the release's table.
        Table = "table",
        /// The same in us-east-1, as the table does not have the type in the Region.
        TableUsEast1 = "table_us_east_1",
    }
}

impl PriceSource {
    /// The source in words for people.
    fn words(self) -> String {
        match self {
            Self::InstancePrices => "INSTANCE_PRICES".to_owned(),
            Self::SpotPriceHistory => "current Spot prices".to_owned(),
            Self::PriceList => "current on-demand list prices".to_owned(),
            Self::Table => format!("on-demand list prices of {}", table_date()),
            Self::TableUsEast1 => {
                format!("on-demand list prices of {} in us-east-1", table_date())
            }
        }
    }
}

/// AWS's prices, as far as they could be read. All are in millionths of a dollar an hour.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MarketPrices {
    /// On-demand list prices by instance type.
    pub on_demand: BTreeMap<String, u64>,
    /// Spot prices by instance type and Availability Zone.
    pub spot: BTreeMap<(String, String), u64>,
    /// Which instances are Spot Instances; `None` if that is not known.
    pub spot_instances: Option<BTreeSet<InstanceId>>,
}

/// What the prices of a cluster's instances are based on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PriceBasis {
    /// Every source that an instance's price is from.
    pub sources: BTreeSet<PriceSource>,
    /// Whether on-demand list prices stand for instances that may be Spot Instances.
    pub spot_unknown: bool,
}

impl PriceBasis {
    /// A sentence for people.
    pub fn text(&self) -> String {
        let sources: Vec<_> = self.sources.iter().map(|source| source.words()).collect();
        let spot = if self.spot_unknown {
            " Which instances are Spot Instances is not known."
        } else {
            ""
        };
        format!("Prices: {}.{spot}", words::list(&sources))
    }
}

/// Gives each instance the price of its type, and says what the prices are based on. `stated` goes
/// before all of AWS's prices. A Spot Instance has the Spot price, or the on-demand price where that
/// is not known. An instance of a type without any price keeps none.
pub fn add_prices(
    instances: &mut [Instance],
    stated: &BTreeMap<String, u64>,
    region: &str,
    market: &MarketPrices,
) -> PriceBasis {
    let mut basis = PriceBasis::default();
    for instance in instances {
        let Some((microusd, source)) = price(instance, stated, region, market) else {
            instance.price_microusd = None;
            continue;
        };
        instance.price_microusd = Some(microusd);
        basis.sources.insert(source);
        basis.spot_unknown |=
            source != PriceSource::InstancePrices && market.spot_instances.is_none();
    }
    basis
}

fn price(
    instance: &Instance,
    stated: &BTreeMap<String, u64>,
    region: &str,
    market: &MarketPrices,
) -> Option<(u64, PriceSource)> {
    let instance_type = &instance.instance_type;
    if let Some(&microusd) = stated.get(instance_type) {
        return Some((microusd, PriceSource::InstancePrices));
    }
    let spot_instances = market.spot_instances.as_ref();
    if spot_instances.is_some_and(|ids| ids.contains(&instance.instance_id))
        && let Some(&microusd) = market.spot.get(&(instance_type.clone(), instance.zone.clone()))
    {
        return Some((microusd, PriceSource::SpotPriceHistory));
    }
    if let Some(&microusd) = market.on_demand.get(instance_type) {
        return Some((microusd, PriceSource::PriceList));
    }
    if let Some(microusd) = list_price(instance_type, region).and_then(microusd) {
        return Some((microusd, PriceSource::Table));
    }
    let microusd = list_price(instance_type, "us-east-1").and_then(microusd)?;
    Some((microusd, PriceSource::TableUsEast1))
}

/// A price in millionths of a dollar. `None` for what is no price: it is above 0, when rounded too,
/// and at most 10,000 dollars an hour.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the price is above 0 and at most PRICE_MAX_USD"
)]
pub fn microusd(usd: f64) -> Option<u64> {
    let microusd = (usd * 1e6).round();
    (microusd > 0.0 && usd <= PRICE_MAX_USD).then_some(microusd as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::ContainerInstanceArn;

    fn instance(id: &str, instance_type: &str) -> Instance {
        let instance_id = InstanceId::parse(id).unwrap();
        let mut instance = Instance::new(instance_id, ContainerInstanceArn::new("1"));
        instance.instance_type = instance_type.to_owned();
        instance.zone = "eu-west-1a".to_owned();
        instance
    }

    /// The price of an instance and its source, as the settings and AWS say.
    fn priced(
        instance_type: &str,
        region: &str,
        stated: &[(&str, u64)],
        market: &MarketPrices,
    ) -> (Option<u64>, PriceBasis) {
        let stated = stated.iter().map(|(name, price)| ((*name).to_owned(), *price)).collect();
        let mut instances = [instance("i-0a1b2c3d4e5f60001", instance_type)];
        let basis = add_prices(&mut instances, &stated, region, market);
        (instances[0].price_microusd, basis)
    }

    fn market(spot_instances: Option<&[&str]>) -> MarketPrices {
        let ids = |ids: &[&str]| ids.iter().filter_map(|id| InstanceId::parse(id)).collect();
        MarketPrices {
            on_demand: [("m7g.large".to_owned(), 89_800)].into(),
            spot: [(("m7g.large".to_owned(), "eu-west-1a".to_owned()), 31_000)].into(),
            spot_instances: spot_instances.map(ids),
        }
    }

    #[test]
    fn each_source_stands_in_for_the_ones_before_it() {
        let (spot, on_demand) = (market(Some(&["i-0a1b2c3d4e5f60001"])), market(Some(&[])));
        let nothing = MarketPrices { spot_instances: Some(BTreeSet::new()), ..Default::default() };
        let mut no_spot_price = spot.clone();
        no_spot_price.spot.clear();
        for (region, stated, market, price, source) in [
            ("eu-west-1", &[("m7g.large", 1)][..], &spot, 1, PriceSource::InstancePrices),
            ("eu-west-1", &[], &spot, 31_000, PriceSource::SpotPriceHistory),
            ("eu-west-1", &[], &no_spot_price, 89_800, PriceSource::PriceList),
            ("eu-west-1", &[], &on_demand, 89_800, PriceSource::PriceList),
            ("us-gov-west-1", &[], &nothing, 102_800, PriceSource::Table),
            ("eu-west-1", &[], &nothing, 81_600, PriceSource::TableUsEast1),
        ] {
            let (microusd, basis) = priced("m7g.large", region, stated, market);
            assert_eq!(microusd, Some(price), "{source:?}");
            assert_eq!(basis, PriceBasis { sources: [source].into(), spot_unknown: false });
        }
        assert_eq!(priced("z99.large", "eu-west-1", &[], &spot), (None, PriceBasis::default()));
    }

    #[test]
    fn the_basis_is_said_with_what_is_not_known() {
        let (_, unknown) = priced("m7g.large", "eu-west-1", &[], &market(None));
        assert_eq!(
            unknown.text(),
            "Prices: current on-demand list prices. Which instances are Spot Instances is not known."
        );
        // What the operator states holds for Spot Instances as well.
        let (_, stated) = priced("m7g.large", "eu-west-1", &[("m7g.large", 1)], &market(None));
        assert_eq!(stated.text(), "Prices: INSTANCE_PRICES.");

        let all = PriceBasis { sources: PriceSource::ALL.into(), spot_unknown: false };
        let text = all.text().replace(table_date(), "DATE");
        assert_eq!(
            text,
            "Prices: INSTANCE_PRICES, current Spot prices, current on-demand list prices, on-demand \
             list prices of DATE and on-demand list prices of DATE in us-east-1."
        );
    }

    #[test]
    fn what_cannot_be_a_price_is_none() {
        for usd in [0.0, -0.1, 0.000_000_4, 10_000.1, f64::NAN, f64::INFINITY] {
            assert_eq!(microusd(usd), None, "{usd}");
        }
        assert_eq!((microusd(0.0816), microusd(10_000.0)), (Some(81_600), Some(10_000_000_000)));
        assert_eq!(microusd(0.000_001), Some(1));
    }
}
