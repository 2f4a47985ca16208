//! The loopback face: the same world, spoken to over HTTP by any AWS client, and by people over a
//! few control paths.
//!
//! | request | does |
//! |---|---|
//! | `POST /` | an AWS call, as `AWS_ENDPOINT_URL` sends it |
//! | `GET /` | a page with the controls, and with what happens |
//! | `GET /_ebb/world` | shows time, container instances, tasks, services, groups and the last calls |
//! | `GET /_ebb/events?after=10` | shows what has happened, from the eleventh line on |
//! | `POST /_ebb/…` | one of the controls in `control.rs` |
//!
//! Nobody has to sign in, so what a browser posts for the page of another site is refused.

use std::convert::Infallible;
use std::io;

use bytes::Bytes;
use http::{HeaderMap, Method, Response, StatusCode};
use http_body_util::{BodyExt, Either, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::Region;
use crate::endless_body::EndlessBody;
use crate::event_log::EventLog;
use crate::fault::Fault;
use crate::wire::Request;
use crate::{control, world_view};

/// One file, which asks for no other.
const PAGE: &str = include_str!("page.html");

/// No call that Ebb makes comes near it.
const BODY_BYTES_MAX: usize = 1024 * 1024;

/// What is sent is known, unless it never ends.
type ResponseBody = Either<Full<Bytes>, EndlessBody>;

/// Serves the Region until the task is dropped. A connection that fails ends alone.
///
/// # Errors
/// If no more connections can be accepted.
pub async fn serve(region: Region, log: EventLog, listener: TcpListener) -> io::Result<Infallible> {
    let port = listener.local_addr()?.port();
    loop {
        let (stream, _) = listener.accept().await?;
        let (region, log) = (region.clone(), log.clone());
        tokio::spawn(async move {
            let service =
                service_fn(move |request| handle(region.clone(), log.clone(), port, request));
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
    log: EventLog,
    port: u16,
    request: http::Request<Incoming>,
) -> Result<Response<ResponseBody>, io::Error> {
    let (parts, body) = request.into_parts();
    if parts.method == Method::POST && is_of_another_site(&parts.headers, port) {
        return Ok(text(StatusCode::FORBIDDEN, "a page of another site may not do that"));
    }
    let body = match Limited::new(body, BODY_BYTES_MAX).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => return Ok(text(StatusCode::BAD_REQUEST, &error.to_string())),
    };
    let path_and_query = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    match (&parts.method, parts.uri.path()) {
        (&Method::POST, "/" | "/zonalshifts") => {
            match Request::read(path_and_query, &parts.headers, body) {
                Some(request) => call(&region, &request).await,
                None => Ok(text(StatusCode::BAD_REQUEST, "not a call of a simulated service")),
            }
        }
        (&Method::GET, "/") => {
            Ok(respond(StatusCode::OK, "text/html; charset=utf-8", full(PAGE.to_owned())))
        }
        (&Method::GET, "/_ebb/world") => Ok(json_text(&world_view::show(&region.world()))),
        (&Method::GET, "/_ebb/events") => {
            Ok(events(&region, &log, parts.uri.query().unwrap_or_default()))
        }
        (&Method::POST, path) => match path.strip_prefix("/_ebb/") {
            Some(name) => Ok(control(&region, name, &body)),
            None => Ok(no_such_path()),
        },
        (&Method::GET, _) => match Request::read(path_and_query, &parts.headers, body) {
            Some(request) => call(&region, &request).await,
            None => Ok(no_such_path()),
        },
        _ => Ok(no_such_path()),
    }
}

/// Whether a browser says that another page than the one of this port posts. A client that is no
/// browser names no origin.
fn is_of_another_site(headers: &HeaderMap, port: u16) -> bool {
    let own = ["127.0.0.1", "localhost"].map(|host| format!("http://{host}:{port}"));
    headers.get("origin").is_some_and(|origin| !own.iter().any(|own| origin == own))
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
    if let Some(Ok(error_type)) = answer.error_type.map(http::HeaderValue::try_from) {
        response.headers_mut().insert("x-amzn-errortype", error_type);
    }
    Ok(response)
}

fn connection_reset() -> io::Error {
    io::Error::from(io::ErrorKind::ConnectionReset)
}

/// An empty body is one without members.
fn control(region: &Region, name: &str, body: &[u8]) -> Response<ResponseBody> {
    let body = match body {
        [] => Ok(Value::Null),
        body => serde_json::from_slice(body),
    };
    let Ok(body) = body else { return text(StatusCode::BAD_REQUEST, "not JSON") };
    match control::apply(&mut region.world(), name, &body) {
        Some(Ok(())) => {
            // The Region may be asleep until something later than what was just planned.
            region.notify();
            text(StatusCode::OK, "done")
        }
        Some(Err(problem)) => text(StatusCode::BAD_REQUEST, &problem),
        None => no_such_path(),
    }
}

/// The lines of the log after the number that the query names, and the number to ask for next.
fn events(region: &Region, log: &EventLog, query: &str) -> Response<ResponseBody> {
    let after = form_urlencoded::parse(query.as_bytes())
        .find(|(key, _)| key == "after")
        .map_or(Ok(0), |(_, number)| number.parse());
    let Ok(after) = after else {
        return text(StatusCode::BAD_REQUEST, "after must be a number of lines");
    };
    let (lines, next) = log.lines_after(after, region);
    json_text(&json!({"next": next, "lines": lines}))
}

fn json_text(value: &Value) -> Response<ResponseBody> {
    respond(StatusCode::OK, "application/json", full(format!("{value:#}\n")))
}

fn no_such_path() -> Response<ResponseBody> {
    text(StatusCode::NOT_FOUND, "there is no such path")
}

fn text(status: StatusCode, text: &str) -> Response<ResponseBody> {
    respond(status, "text/plain; charset=utf-8", full(format!("{text}\n")))
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
