//! The operation `GetProducts` of the AWS Price List, for instance types by their Region.
//!
//! Source: AWS Price List API Reference, `GetProducts`, and its examples of products.

use serde_json::{Value, json};

use super::answer::Refusal;
use super::aws_json::read_input;
use crate::world::{PRICES, REGION};

/// What stands before the operation in the target of a call.
pub(super) const SERVICE: &str = "AWSPriceListService";

/// The products that every filter fits. Of each type one is sold: Linux, on demand, on shared
/// hardware.
pub(super) fn get_products(body: &[u8]) -> Result<String, Refusal> {
    let input = read_input("GetProducts", body)?;
    if input["ServiceCode"] != "AmazonEC2" {
        return Err(Refusal::new("InvalidParameterException", "Invalid ServiceCode"));
    }
    if !input["MaxResults"].as_u64().is_none_or(|number| (1..=100).contains(&number)) {
        return Err(Refusal::new("InvalidParameterException", "MaxResults is from 1 to 100"));
    }
    let filters = input["Filters"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut products = Vec::new();
    for price in PRICES {
        let attributes = json!({
            "instanceType": price.instance_type,
            "regionCode": REGION,
            "operatingSystem": "Linux",
            "preInstalledSw": "NA",
            "tenancy": "Shared",
            "capacitystatus": "Used",
            "marketoption": "OnDemand",
        });
        let fits = |filter: &Value| {
            let field = filter["Field"].as_str().unwrap_or_default();
            attributes.get(field) == Some(&filter["Value"])
        };
        if filters.iter().all(fits) {
            products.push(product(&attributes, price.on_demand).to_string());
        }
    }
    Ok(json!({"FormatVersion": "aws_v1", "PriceList": products}).to_string())
}

fn product(attributes: &Value, usd: &str) -> Value {
    let sku = "4FAUJNKNYZ6F5TCZ";
    let (term, rate) = (format!("{sku}.JRTCKXETXF"), format!("{sku}.JRTCKXETXF.6YS6EN2CT7"));
    json!({
        "serviceCode": "AmazonEC2",
        "product": {"sku": sku, "productFamily": "Compute Instance", "attributes": attributes},
        "terms": {"OnDemand": {term: {"sku": sku, "priceDimensions": {rate: {
            "unit": "Hrs",
            "beginRange": "0",
            "endRange": "Inf",
            "pricePerUnit": {"USD": usd},
        }}}}},
    })
}
