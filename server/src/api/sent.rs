//! The body of a request.

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, OptionalFromRequest, Request};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;

use crate::error::AppError;

/// JSON that is an object. [`Json`] alone takes a list of the values of the fields, too, and with
/// fields that may be left out any short list.
pub struct Sent<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Sent<T> {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        let (parts, body) = request.into_parts();
        let whole = Request::from_parts(parts.clone(), body);
        let bytes = Bytes::from_request(whole, state).await;
        let bytes = bytes.map_err(IntoResponse::into_response)?;
        let first = bytes.iter().find(|b| !b.is_ascii_whitespace()).copied();
        let again = Request::from_parts(parts, Body::from(bytes));
        let read = <Json<T> as FromRequest<S>>::from_request(again, state).await;
        let Json(read) = read.map_err(IntoResponse::into_response)?;
        match first {
            Some(b'{') => Ok(Sent(read)),
            _ => {
                let why = "the body is no object: name the fields, as in {\"name\": …}";
                Err(AppError::bad("bad-body", "", why).into_response())
            }
        }
    }
}

impl<T: DeserializeOwned, S: Send + Sync> OptionalFromRequest<S> for Sent<T> {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Option<Self>, Response> {
        if !request.headers().contains_key(header::CONTENT_TYPE) {
            return Ok(None);
        }
        <Sent<T> as FromRequest<S>>::from_request(request, state)
            .await
            .map(Some)
    }
}
