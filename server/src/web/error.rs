//! The page shown when there is nothing else to show: what went wrong and what to do next.

use askama::Template;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};

use super::visible;
use crate::access;
use crate::error::AppError;

/// `error.html`.
#[derive(Debug, Template)]
#[template(path = "error.html")]
pub struct ErrorPage {
    pub status: u16,
    pub title: String,
    /// What happened, one sentence.
    pub detail: String,
    /// What to do next, one sentence.
    pub next: String,
    /// Number of the job that it was about.
    pub back: Option<i64>,
}

/// What a page handler returns.
pub(crate) type Page = Result<Response, PageError>;

/// An error that renders as a page, unlike [`AppError`], which renders for programs.
pub(crate) struct PageError(ErrorPage);

impl PageError {
    /// 404: `what` is such as "Job 42".
    pub(crate) fn missing(what: &str, next: &str) -> PageError {
        PageError(ErrorPage {
            status: 404,
            title: "Not found".to_string(),
            detail: format!("{what} is not here."),
            next: next.to_string(),
            back: None,
        })
    }

    /// 400: a query this page cannot read.
    pub(crate) fn query(detail: String, next: &str) -> PageError {
        PageError(ErrorPage {
            status: 400,
            title: "Unknown query".to_string(),
            detail,
            next: next.to_string(),
            back: None,
        })
    }
}

impl PageError {
    /// With the way back to the job that it was about.
    pub(crate) fn about(mut self, job: i64) -> PageError {
        self.0.back = Some(job);
        self
    }
}

impl From<AppError> for PageError {
    fn from(error: AppError) -> PageError {
        let problem = error.into_problem();
        let (title, next) = match problem.status {
            503 => ("Not just now", "Load the page again in a few seconds."),
            404 => (
                "Not found",
                "It may have been made on another server, or not be for you to see; signing in may help.",
            ),
            401 | 403 => ("Not allowed", "Sign in with an account that may do this."),
            413 | 422 => (
                "This cannot be taken",
                "Go back, change it and send it again.",
            ),
            409 => ("Too late", "Load the page again to see where it stands."),
            429 => ("Too often", "Wait a minute and try again."),
            500.. => (
                "Our failure",
                "Jobs go on running. Load the page again; if it stays, look at the server's log.",
            ),
            _ => (
                "This did not work",
                "Check the address, or start again from the list of jobs.",
            ),
        };
        PageError(ErrorPage {
            status: problem.status,
            title: title.to_string(),
            detail: problem.detail,
            next: next.to_string(),
            back: None,
        })
    }
}

impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::BAD_REQUEST);
        let mut response = match self.0.render() {
            Ok(html) => (status, Html(visible::page(html))).into_response(),
            Err(_) => (status, self.0.detail).into_response(),
        };
        // A page that loads itself again without scripts has to go on doing so after a failure.
        if status.is_server_error() && access::current().reads {
            let again = HeaderValue::from_static("10");
            response.headers_mut().insert(header::REFRESH, again);
        }
        response
    }
}

/// Renders a page that is answered with this status.
pub(crate) fn page_as(status: u16, template: &impl Template) -> Page {
    let mut response = page(template)?;
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
    Ok(response)
}

/// Renders a page that tells a secret: nobody keeps it.
pub(crate) fn secret_page(template: &impl Template) -> Page {
    let mut response = page(template)?;
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// Renders a page.
pub(crate) fn page(template: &impl Template) -> Page {
    match template.render() {
        Ok(html) => Ok(Html(visible::page(html)).into_response()),
        Err(error) => {
            tracing::error!(%error, "page does not render");
            Err(PageError(ErrorPage {
                status: 500,
                title: "Our failure".to_string(),
                detail: "The page could not be written.".to_string(),
                next: "Load the page again; the reason is in the server's log.".to_string(),
                back: None,
            }))
        }
    }
}

/// A row id from a path; anything else is a page that does not exist.
pub(crate) fn id(text: &str, what: &str) -> Result<i64, PageError> {
    let next = "Open it from the list of jobs.";
    text.parse()
        .map_err(|_| PageError::missing(&format!("{what} “{text}”"), next))
}

/// The answer to an address that leads nowhere; made to be the router's fallback.
pub async fn not_found() -> Response {
    let error = PageError::missing(
        "That page",
        "Start again from the list of jobs, or read the help.",
    );
    super::guard(error.into_response()).await
}
