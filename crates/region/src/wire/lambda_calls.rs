//! Lambda's operation `GetFunctionConfiguration`, by the protocol restJson1.
//!
//! Source: Lambda API Reference, `GetFunctionConfiguration` (2015-03-31): its path, its answer and
//! its errors, whose code is in a header.

use http::StatusCode;
use serde_json::json;

use super::answer::{Answer, Refusal};
use crate::world::{ACCOUNT, REGION, World};

/// The function that a path asks for, by its name, ARN or either with an alias. `None` if it is the
/// path of another operation.
pub(super) fn function_in(path: &str) -> Option<String> {
    let function = path.strip_prefix("/2015-03-31/functions/")?.strip_suffix("/configuration")?;
    (!function.contains('/')).then(|| function.replace("%3A", ":"))
}

/// What is known of a function, as far as its package goes.
pub(super) fn get_function_configuration(world: &World, function: &str) -> Result<String, Refusal> {
    // A name by itself, after the account, or in an ARN; any may have a version or an alias, which
    // are all of the same package.
    let prefixes =
        [format!("arn:aws:lambda:{REGION}:{ACCOUNT}:function:"), format!("{ACCOUNT}:function:")];
    let name = prefixes.iter().find_map(|prefix| function.strip_prefix(prefix)).unwrap_or(function);
    let name = name.split(':').next().unwrap_or_default();
    let arn = format!("arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}");
    let Some(package) = world.packages.get(name) else {
        let message = format!("Function not found: {arn}");
        return Err(Refusal {
            status: StatusCode::NOT_FOUND,
            ..Refusal::new("ResourceNotFoundException", message)
        });
    };
    Ok(json!({
        "FunctionName": name,
        "FunctionArn": arn,
        "Runtime": "provided.al2023",
        "CodeSha256": package.code_sha256,
        "Architectures": [package.architecture],
        "Version": "$LATEST",
    })
    .to_string())
}

pub(super) fn answer(request_id: String, result: Result<String, Refusal>) -> Answer {
    let content_type = "application/json";
    match result {
        Ok(body) => {
            Answer { status: StatusCode::OK, content_type, request_id, error_type: None, body }
        }
        Err(Refusal { status, code, message }) => {
            let body = json!({"Type": "User", "Message": message}).to_string();
            Answer { status, content_type, request_id, error_type: Some(code), body }
        }
    }
}
