//! AWS's prices, read once an hour for all who ask: few calls, for which a caller waits 13 s
//! at most, and no later one again where they failed.
//!
//! Which price an instance has is decided in `ebb_core::prices`, where there is a price for what
//! could not be read as well.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ebb_core::ids::InstanceId;
use ebb_core::prices::MarketPrices;
use futures_util::{StreamExt, TryStreamExt, stream};
use jiff::{SignedDuration, Timestamp};
use tokio::sync::Mutex;
use tokio::time::timeout;
use tracing::warn;

use crate::clients::Clients;
use crate::error::AwsError;
use crate::invocation::Problem;

/// For how long prices hold. List prices change a few times a year, Spot prices slowly.
const PRICES_AGE_MAX: SignedDuration = SignedDuration::from_hours(1);
/// For how long it is known which instances are Spot Instances. The least age of an instance that
/// may go, by default: a younger one is not misjudged.
const SPOT_INSTANCES_AGE_MAX: SignedDuration = SignedDuration::from_mins(15);
/// How long prices are waited for. The Price List is in us-east-1, to which a VPC may have no route.
const PRICES_TIMEOUT: Duration = Duration::from_secs(3);
/// How long Spot Instances are waited for: a page of 500 takes about a second.
const SPOT_INSTANCES_TIMEOUT: Duration = Duration::from_secs(10);
/// How many instance types are asked about in an hour: each costs a call of the Price List. The
/// others have the prices of the release's table.
const TYPES_MAX: usize = 50;
const CONCURRENT_READS_MAX: usize = 8;

/// Reads AWS's prices, and keeps them for an hour. What cannot be read is said in the log, and not
/// tried again before that time is over.
#[derive(Debug)]
pub struct PriceReader {
    clients: Clients,
    prices: Mutex<Kept<Prices>>,
    spot_instances: Mutex<Kept<Option<BTreeSet<InstanceId>>>>,
}

/// What was read, and when the first of it was.
#[derive(Debug, Default)]
struct Kept<T> {
    since: Option<Timestamp>,
    value: T,
}

impl<T: Default> Kept<T> {
    /// Whether there is nothing, or nothing any more.
    fn renew(&mut self, age_max: SignedDuration, now: Timestamp) -> bool {
        let is_over = self.since.is_none_or(|since| now.duration_since(since) >= age_max);
        if is_over {
            *self = Self { since: Some(now), value: T::default() };
        }
        is_over
    }
}

#[derive(Debug, Default)]
struct Prices {
    on_demand: PricesOf<String>,
    /// By instance type and Availability Zone. They are asked for once there are Spot Instances,
    /// which may be later.
    spot: PricesOf<(String, String)>,
}

/// Prices of one source.
#[derive(Debug, Default)]
struct PricesOf<K> {
    prices: BTreeMap<K, u64>,
    /// The instance types that were asked about.
    asked: BTreeSet<String>,
    /// Whether a read failed. The next would most likely fail as well, and be waited for again.
    has_failed: bool,
}

impl<K: Ord> PricesOf<K> {
    /// The types that are to be asked about.
    fn new_types(&self, types: &BTreeSet<String>) -> Vec<String> {
        if self.has_failed {
            return Vec::new();
        }
        let left = TYPES_MAX.saturating_sub(self.asked.len());
        types.difference(&self.asked).take(left).cloned().collect()
    }

    /// Adds what was read of these types; `None` if that failed.
    fn add(&mut self, types: Vec<String>, prices: Option<BTreeMap<K, u64>>) {
        self.has_failed |= prices.is_none();
        self.prices.extend(prices.into_iter().flatten());
        self.asked.extend(types);
    }
}

impl PriceReader {
    /// Reads by these clients, in their Region.
    pub fn new(clients: Clients) -> Self {
        Self { clients, prices: Mutex::default(), spot_instances: Mutex::default() }
    }

    /// The prices of these instance types, as far as they can be read in 13 s at most. Without types
    /// nothing is asked.
    pub async fn read(&self, types: &BTreeSet<String>, now: Timestamp) -> MarketPrices {
        if types.is_empty() {
            return MarketPrices::default();
        }
        let spot_instances = self.spot_instances(now).await;
        let has_spot = spot_instances.as_ref().is_some_and(|instances| !instances.is_empty());

        let mut kept = self.prices.lock().await;
        kept.renew(PRICES_AGE_MAX, now);
        let Prices { on_demand, spot } = &mut kept.value;
        let new = on_demand.new_types(types);
        let new_spot = if has_spot { spot.new_types(types) } else { Vec::new() };
        let (on_demand_prices, spot_prices) = tokio::join!(
            within(PRICES_TIMEOUT, "on-demand list prices", self.on_demand_prices(&new)),
            within(PRICES_TIMEOUT, "Spot prices", self.spot_prices(&new_spot, now)),
        );
        on_demand.add(new, on_demand_prices);
        spot.add(new_spot, spot_prices);
        MarketPrices {
            on_demand: on_demand.prices.clone(),
            spot: spot.prices.clone(),
            spot_instances,
        }
    }

    async fn spot_instances(&self, now: Timestamp) -> Option<BTreeSet<InstanceId>> {
        let mut kept = self.spot_instances.lock().await;
        if kept.renew(SPOT_INSTANCES_AGE_MAX, now) {
            let read = self.clients.ec2.spot_instances();
            kept.value = within(SPOT_INSTANCES_TIMEOUT, "Spot Instances", read).await;
        }
        kept.value.clone()
    }

    /// The Spot prices of instance types. Without types nothing is asked.
    async fn spot_prices(
        &self,
        types: &[String],
        now: Timestamp,
    ) -> Result<BTreeMap<(String, String), u64>, AwsError> {
        if types.is_empty() {
            return Ok(BTreeMap::new());
        }
        self.clients.ec2.spot_prices(types, now).await
    }

    /// The list prices of instance types. Those that the list does not have are left out.
    async fn on_demand_prices(&self, types: &[String]) -> Result<BTreeMap<String, u64>, AwsError> {
        let region = self.clients.region();
        let read = |name: &String| {
            let (pricing, name) = (self.clients.pricing.clone(), name.clone());
            async move { Ok((pricing.on_demand_price(&name, region).await?).map(|usd| (name, usd))) }
        };
        let prices: Vec<_> = stream::iter(types.iter().map(read))
            .buffered(CONCURRENT_READS_MAX)
            .try_collect()
            .await?;
        Ok(prices.into_iter().flatten().collect())
    }
}

/// What is read; `None` if it cannot be read in time.
async fn within<T>(
    limit: Duration,
    what: &str,
    read: impl Future<Output = Result<T, AwsError>>,
) -> Option<T> {
    let why = match timeout(limit, read).await {
        Ok(Ok(value)) => return Some(value),
        Ok(Err(error)) => Problem::from(error).text,
        Err(_) => format!("no answer within {} s", limit.as_secs()),
    };
    warn!("Goes on without AWS's {what}: {why}");
    None
}
