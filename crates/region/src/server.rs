//! The loopback face: the same world, spoken to over HTTP by any AWS client, and by people over a
//! few control paths.
//!
//! | request | does |
//! |---|---|
//! | `POST /` | an AWS call, as `AWS_ENDPOINT_URL` sends it |
//! | `GET /_ebb/world` | shows time, container instances, tasks, groups and calls |
//! | `POST /_ebb/interrupt` | `{"instance_id": "i-1", "action": "stop"}`: a Spot interruption |
//! | `POST /_ebb/terminate` | `{"instance_id": "i-1", "hook": "drain", "token": "…"}`: its group terminates it, held by a hook with this token |
//! | `POST /_ebb/faults` | `{"operation": "ListTasks", "fault": "throttle", "calls": 1}`: a fault |

use std::convert::Infallible;
use std::io;

use bytes::Bytes;
use http::{Method, Response, StatusCode};
use http_body_util::{BodyExt, Either, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::Region;
use crate::endless_body::EndlessBody;
use crate::fault::{self, Fault};
use crate::wire::Request;
use crate::world::autoscaling::Hook;
use crate::world::spot::Action;

/// No call that Ebb makes comes near it.
const BODY_BYTES_MAX: usize = 1024 * 1024;

/// What is sent is known, unless it never ends.
type ResponseBody = Either<Full<Bytes>, EndlessBody>;

/// Serves the Region until the task is dropped. A connection that fails ends alone.
///
/// # Errors
/// If no more connections can be accepted.
pub async fn serve(region: Region, listener: TcpListener) -> io::Result<Infallible> {
    loop {
        let (stream, _) = listener.accept().await?;
        let region = region.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| handle(region.clone(), request));
            // A client that goes away, and a fault that breaks the connection, are errors of this
            // connection only.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

/// An error makes hyper break the connection, which is what a fault of the connection is to look
/// like.
async fn handle(
    region: Region,
    request: http::Request<Incoming>,
) -> Result<Response<ResponseBody>, io::Error> {
    let (parts, body) = request.into_parts();
    let body = match Limited::new(body, BODY_BYTES_MAX).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => return Ok(text(StatusCode::BAD_REQUEST, &error.to_string())),
    };
    match (&parts.method, parts.uri.path()) {
        (&Method::POST, "/") => match Request::read(&parts.headers, body) {
            Some(request) => call(&region, &request).await,
            None => Ok(text(StatusCode::BAD_REQUEST, "not a call of a simulated service")),
        },
        (&Method::GET, "/_ebb/world") => Ok(show(&region)),
        (&Method::POST, "/_ebb/interrupt") => Ok(control(&region, &body, interrupt)),
        (&Method::POST, "/_ebb/terminate") => Ok(control(&region, &body, terminate)),
        (&Method::POST, "/_ebb/faults") => Ok(control(&region, &body, plan_fault)),
        _ => Ok(text(StatusCode::NOT_FOUND, "there is no such path")),
    }
}

async fn call(region: &Region, request: &Request) -> Result<Response<ResponseBody>, io::Error> {
    let fault = region.world().faults.take(request.operation());
    match fault {
        // The client's own time-out ends the wait.
        Some(Fault::Timeout) => return std::future::pending().await,
        Some(Fault::ConnectionReset) => return Err(connection_reset()),
        _ => {}
    }
    let answer = request.call(&mut region.world(), fault);
    region.notify();
    if fault == Some(Fault::AnswerLost) {
        return Err(connection_reset());
    }
    let body = match fault {
        Some(Fault::EndlessAnswer) => Either::Right(EndlessBody::new(answer.body)),
        _ => full(answer.body),
    };
    let mut response = respond(answer.status, answer.content_type, body);
    if let Ok(request_id) = answer.request_id.try_into() {
        response.headers_mut().insert("x-amzn-requestid", request_id);
    }
    Ok(response)
}

fn connection_reset() -> io::Error {
    io::Error::from(io::ErrorKind::ConnectionReset)
}

fn control(
    region: &Region,
    body: &[u8],
    apply: fn(&Region, &Value) -> Result<(), &'static str>,
) -> Response<ResponseBody> {
    let applied =
        serde_json::from_slice(body).map_err(|_| "not JSON").and_then(|body| apply(region, &body));
    match applied {
        Ok(()) => {
            // The Region may be asleep until something later than what was just planned.
            region.notify();
            text(StatusCode::OK, "done")
        }
        Err(problem) => text(StatusCode::BAD_REQUEST, problem),
    }
}

fn interrupt(region: &Region, body: &Value) -> Result<(), &'static str> {
    let instance_id = body["instance_id"].as_str().ok_or("instance_id must be text")?;
    let action = match body.get("action") {
        None => Some(Action::Terminate),
        Some(action) => action.as_str().and_then(Action::parse),
    };
    let action = action.ok_or("action must be terminate, stop or hibernate")?;
    region.world().interrupt(instance_id, action);
    Ok(())
}

fn terminate(region: &Region, body: &Value) -> Result<(), &'static str> {
    let instance_id = body["instance_id"].as_str().ok_or("instance_id must be text")?;
    let hook = Hook::new(body["hook"].as_str().ok_or("hook must be text")?);
    let token = body["token"].as_str().ok_or("token must be text")?;
    region
        .world()
        .terminate_under_hook(instance_id, hook, token.to_owned())
        .map_err(|_| "no group has this instance in service")
}

fn plan_fault(region: &Region, body: &Value) -> Result<(), &'static str> {
    let operation = body["operation"].as_str().ok_or("operation must be text")?;
    let fault = body["fault"]
        .as_str()
        .and_then(fault::parse)
        .ok_or("fault must name a fault, such as throttle")?;
    let calls = match body.get("calls") {
        None => Some(1),
        Some(calls) => calls.as_u64().and_then(|calls| u32::try_from(calls).ok()),
    };
    let calls = calls.ok_or("calls must be a number of calls")?;
    region.world().faults.plan(operation, fault, calls);
    Ok(())
}

fn show(region: &Region) -> Response<ResponseBody> {
    let world = region.world();
    let instances = world.clusters.iter().flat_map(|(name, cluster)| {
        cluster.instances.values().map(move |instance| {
            let tasks: Vec<_> = cluster
                .tasks_on(&instance.id)
                .map(|task| format!("{} {}", task.name, task.status.as_str()))
                .collect();
            json!({
                "instance_id": instance.instance_id,
                "cluster": name,
                "zone": instance.zone,
                "status": instance.status.as_str(),
                "tasks": tasks,
            })
        })
    });
    let groups: Vec<_> = world
        .groups
        .iter()
        .map(|(name, group)| {
            json!({
                "name": name,
                "desired_capacity": group.desired_capacity,
                "max_size": group.max_size,
            })
        })
        .collect();
    let calls: Vec<_> = world
        .calls
        .iter()
        .map(|call| json!({"at": call.time, "operation": call.operation, "error": call.error}))
        .collect();
    let shown = json!({
        "now": world.now(),
        "container_instances": instances.collect::<Vec<_>>(),
        "groups": groups,
        "tasks_cut_off": world.tasks_cut_off().iter().map(|task| &task.name).collect::<Vec<_>>(),
        "calls": calls,
    });
    respond(StatusCode::OK, "application/json", full(format!("{shown:#}\n")))
}

fn text(status: StatusCode, text: &str) -> Response<ResponseBody> {
    respond(status, "text/plain", full(format!("{text}\n")))
}

fn full(body: String) -> ResponseBody {
    Either::Left(Full::new(Bytes::from(body)))
}

fn respond(
    status: StatusCode,
    content_type: &'static str,
    body: ResponseBody,
) -> Response<ResponseBody> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert("content-type", http::HeaderValue::from_static(content_type));
    response
}
