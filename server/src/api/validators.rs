//! Answers say what they are a version of, so that whoever has it already gets nothing anew.

use axum::body::{Body, HttpBody};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use sha2::{Digest, Sha256};

/// Longest answer that is looked at, bytes.
const MOST_BYTES: u64 = 32 << 20;

/// Gives JSON that was read an `ETag`, and answers 304 when `If-None-Match` names it (RFC 9110, 13.1.2).
pub async fn answer(request: Request, next: Next) -> Response {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    let asked = request.headers().clone();
    let response = next.run(request).await;
    let json = response.headers().get(header::CONTENT_TYPE);
    let json = json.is_some_and(|kind| kind == "application/json");
    let short = response.body().size_hint().exact();
    let short = short.is_some_and(|bytes| bytes <= MOST_BYTES);
    if !(reads && json && short && response.status() == StatusCode::OK) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let Ok(bytes) = axum::body::to_bytes(body, usize::MAX).await else {
        parts.status = StatusCode::INTERNAL_SERVER_ERROR;
        return Response::from_parts(parts, Body::empty());
    };
    let tag = format!("\"{}\"", hex::encode(&Sha256::digest(&bytes)[..12]));
    let known = knows(&asked, &tag);
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        parts.headers.insert(header::ETAG, tag);
    }
    // It may be kept, but has to be asked about each time: what somebody may see can change.
    let kept = HeaderValue::from_static("private, no-cache");
    parts.headers.insert(header::CACHE_CONTROL, kept);
    parts.headers.insert(
        header::VARY,
        HeaderValue::from_static("authorization, cookie"),
    );
    if known {
        parts.status = StatusCode::NOT_MODIFIED;
        parts.headers.remove(header::CONTENT_TYPE);
        parts.headers.remove(header::CONTENT_LENGTH);
        return Response::from_parts(parts, Body::empty());
    }
    Response::from_parts(parts, Body::from(bytes))
}

/// Whether `If-None-Match` names the version; weak names count too.
fn knows(asked: &HeaderMap, tag: &str) -> bool {
    let named = asked.get_all(header::IF_NONE_MATCH).iter();
    let named = named.filter_map(|value| value.to_str().ok());
    named.flat_map(|value| value.split(',')).any(|name| {
        let name = name.trim();
        name == "*" || name.strip_prefix("W/").unwrap_or(name) == tag
    })
}
