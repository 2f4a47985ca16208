//! The AWS Price List, of which one read is needed: what an instance type costs on demand.
//!
//! The SDK's client of it is not linked for one call: see decision 010. What a price is used for is
//! left to `ebb_core::prices`.

use aws_config::{Region, SdkConfig};
use aws_smithy_runtime::client::orchestrator::operation::Operation;
use ebb_core::prices::microusd;
use serde_json::{Value, json};

use crate::error::AwsError;
use crate::unmodeled::{Input, UnmodeledService};

/// Where the Price List of every Region is. It has a few endpoints, and this one is nearest to most
/// (AWS General Reference, billing).
const REGION: &str = "us-east-1";
const TARGET: &str = "AWSPriceListService.GetProducts";

/// The AWS Price List.
#[derive(Debug, Clone)]
pub struct Pricing {
    service: UnmodeledService,
}

impl Pricing {
    /// Makes calls by the SDK's configuration, but in us-east-1.
    pub(crate) fn new(config: &SdkConfig) -> Self {
        let endpoint = format!("https://api.pricing.{REGION}.amazonaws.com");
        let region = Region::from_static(REGION);
        Self { service: UnmodeledService::new(config, "pricing", region, endpoint) }
    }

    /// What an hour of a Linux instance of this type costs on demand in a Region, in millionths of a
    /// dollar. `None` if the list does not say, as for a Region whose prices are in another currency.
    ///
    /// # Errors
    /// If the call fails.
    pub async fn on_demand_price(
        &self,
        instance_type: &str,
        region: &str,
    ) -> Result<Option<u64>, AwsError> {
        let operation = format!("read the list price of {instance_type}");
        let call = Operation::builder().operation_name("GetProducts");
        // What an instance without a license or a reservation is, in the words of the Price List.
        let filters = [
            ("regionCode", region),
            ("instanceType", instance_type),
            ("operatingSystem", "Linux"),
            ("preInstalledSw", "NA"),
            ("tenancy", "Shared"),
            ("capacitystatus", "Used"),
            ("marketoption", "OnDemand"),
        ];
        let filters = filters
            .map(|(field, value)| json!({"Type": "TERM_MATCH", "Field": field, "Value": value}));
        // One product is expected; what does not fit into a page is not looked for.
        let input = json!({
            "ServiceCode": "AmazonEC2",
            "FormatVersion": "aws_v1",
            "MaxResults": 10,
            "Filters": filters,
        });
        let document = self.service.invoke(call, &operation, Input::Json(TARGET, input)).await?;
        Ok(hourly_price(&document))
    }
}

/// The first hourly price in dollars of the products of an answer. Each product is JSON in a text
/// (Billing User Guide, "Reading the service price list file").
fn hourly_price(document: &str) -> Option<u64> {
    let answer: Value = serde_json::from_str(document).ok()?;
    let products = answer["PriceList"].as_array()?.iter();
    products.filter_map(Value::as_str).find_map(|product| {
        let product: Value = serde_json::from_str(product).ok()?;
        let terms = product["terms"]["OnDemand"].as_object()?.values();
        let dimensions = terms.filter_map(|term| term["priceDimensions"].as_object());
        dimensions
            .flat_map(|dimensions| dimensions.values())
            .filter(|dimension| dimension["unit"] == "Hrs")
            .find_map(|dimension| {
                microusd(dimension["pricePerUnit"]["USD"].as_str()?.parse().ok()?)
            })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn price_list(unit: &str, price: &Value) -> String {
        let dimension = json!({"unit": unit, "pricePerUnit": price});
        let terms = json!({"OnDemand": {"A.B": {"priceDimensions": {"A.B.C": dimension}}}});
        let product = json!({"product": {}, "terms": terms}).to_string();
        json!({"FormatVersion": "aws_v1", "PriceList": ["no product", product]}).to_string()
    }

    #[test]
    fn a_price_is_by_the_hour_in_dollars_and_above_zero() {
        for (unit, price, microusd) in [
            ("Hrs", json!({"USD": "0.0898000000"}), Some(89_800)),
            ("Hrs", json!({"USD": "0.0000000000"}), None),
            ("Hrs", json!({"CNY": "0.5000000000"}), None),
            ("Quantity", json!({"USD": "0.0898000000"}), None),
            ("Hrs", json!({"USD": 0.0898}), None),
        ] {
            assert_eq!(hourly_price(&price_list(unit, &price)), microusd, "{unit} {price}");
        }
        assert_eq!(hourly_price(r#"{"PriceList":[]}"#), None);
    }
}
