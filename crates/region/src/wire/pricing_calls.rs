//! The operation `GetProducts` of the AWS Price List, for instance types by their Region.
//!
//! Source: AWS Price List API Reference, `GetProducts`, and its examples of products.

use serde_json::{Value, json};

use super::answer::Refusal;
use super::aws_json::{invalid, read_input};
use crate::world::{PRICES, REGION};

/// What stands before the operation in the target of a call.
pub(super) const SERVICE: &str = "AWSPriceListService";

/// The products that every filter fits. Of each type one is sold: Linux, on demand, on shared
/// hardware.
pub(super) fn get_products(body: &[u8]) -> Result<String, Refusal> {
    let input = read_input("GetProducts", body)?;
    if input["ServiceCode"] != "AmazonEC2" {
        return Err(invalid("Invalid ServiceCode"));
    }
    let max_results = input["MaxResults"].as_u64();
    if !max_results.is_none_or(|number| (1..=100).contains(&number)) {
        return Err(invalid("MaxResults is from 1 to 100"));
    }
    if !matches!(input["FormatVersion"].as_str(), None | Some("aws_v1")) {
        return Err(invalid("Invalid FormatVersion"));
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
        let mut fits_all = true;
        for filter in filters {
            fits_all &= fits(filter, &attributes)?;
        }
        if fits_all {
            products.push(product(&attributes, price.on_demand).to_string());
        }
    }
    // There are no further pages here.
    if max_results.is_some_and(|size| products.len() as u64 > size) {
        return Err(invalid("The simulated Region answers with all products or none"));
    }
    Ok(json!({"FormatVersion": "aws_v1", "PriceList": products}).to_string())
}

/// Whether a product has the value of a filter. What products have no attribute for here is refused,
/// as is another kind of comparison.
fn fits(filter: &Value, attributes: &Value) -> Result<bool, Refusal> {
    let attribute = filter["Field"].as_str().and_then(|field| attributes.get(field));
    match (filter["Type"].as_str(), attribute) {
        (Some("TERM_MATCH"), Some(attribute)) => Ok(*attribute == filter["Value"]),
        _ => Err(invalid(format!("The simulated Region filters products by no {filter}"))),
    }
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
