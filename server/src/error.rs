//! What a request can fail with, and how it is told.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use firstbad_api::problem::{CONTENT_TYPE, Problem};

use crate::repo::RepoError;

/// A failed request. Details of [`AppError::Internal`] are logged once and never sent.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    #[error("{}", .0.detail)]
    Problem(Box<Problem>),
    #[error("database: {0}")]
    Database(#[from] sqlx::Error),
    #[error("{0}")]
    Internal(String),
}

impl AppError {
    /// A refused request: `kind` is a stable short name, `pointer` the field, `detail` one sentence.
    pub fn refused(
        status: StatusCode,
        kind: &str,
        pointer: &str,
        detail: impl Into<String>,
    ) -> Self {
        AppError::Problem(Box::new(Problem {
            kind: kind.to_owned(),
            title: kind.replace('-', " "),
            status: status.as_u16(),
            detail: detail.into(),
            pointer: (!pointer.is_empty()).then(|| pointer.to_owned()),
        }))
    }

    pub fn bad(kind: &str, pointer: &str, detail: impl Into<String>) -> Self {
        Self::refused(StatusCode::UNPROCESSABLE_ENTITY, kind, pointer, detail)
    }

    pub fn not_found(what: impl Into<String>) -> Self {
        Self::refused(StatusCode::NOT_FOUND, "not-found", "", what)
    }

    /// A repository error about the request field `pointer`.
    pub fn repo(error: RepoError, pointer: &str) -> Self {
        let detail = format!("{}: {error}", pointer.trim_start_matches('/'));
        match error {
            RepoError::NotFound => {
                Self::refused(StatusCode::NOT_FOUND, "unknown-tree", pointer, detail)
            }
            RepoError::UnknownRef { .. } => Self::bad("unknown-ref", pointer, detail),
            RepoError::BadRef { .. } => Self::bad("bad-ref", pointer, detail),
            RepoError::Fetch { .. } => Self::bad("fetch-failed", pointer, detail),
            RepoError::PatchDoesNotApply { .. } => {
                Self::bad("patch-does-not-apply", pointer, detail)
            }
            RepoError::BadPatch { .. } => Self::bad("bad-patch", pointer, detail),
            RepoError::BadArchive(why) | RepoError::Failed(why) => AppError::Internal(why),
        }
    }

    /// Status of the answer.
    pub fn status(&self) -> StatusCode {
        match self {
            AppError::Problem(p) => {
                StatusCode::from_u16(p.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
            }
            AppError::Database(sqlx::Error::PoolTimedOut | sqlx::Error::Io(_)) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            AppError::Database(sqlx::Error::Database(e))
                if e.code()
                    .is_some_and(|c| c.starts_with("57P") || c.starts_with("08")) =>
            {
                StatusCode::SERVICE_UNAVAILABLE
            }
            AppError::Database(error) if is_nul(error) => StatusCode::UNPROCESSABLE_ENTITY,
            AppError::Database(_) | AppError::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The problem as sent: internal details stay in the log.
    pub fn into_problem(self) -> Problem {
        let status = self.status();
        match self {
            AppError::Problem(p) => *p,
            AppError::Database(error) if is_nul(&error) => Problem {
                kind: "nul".to_owned(),
                title: "nul".to_owned(),
                status: status.as_u16(),
                detail: "a text of the request holds a NUL character; leave it out".to_owned(),
                pointer: None,
            },
            other => {
                tracing::error!(error = %other, "request failed");
                let (kind, detail) = if status == StatusCode::SERVICE_UNAVAILABLE {
                    (
                        "unavailable",
                        "the database is not reachable just now; try again in a few seconds",
                    )
                } else {
                    ("internal", "the server failed; its log has the cause")
                };
                Problem {
                    kind: kind.to_owned(),
                    title: kind.to_owned(),
                    status: status.as_u16(),
                    detail: detail.to_owned(),
                    pointer: None,
                }
            }
        }
    }
}

/// Postgres keeps no text with a NUL, be it a column or a string in a document.
fn is_nul(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|e| e.code());
    code.is_some_and(|c| c == "22021" || c == "22P05")
}

impl IntoResponse for AppError {
    fn into_response(self) -> Response {
        let status = self.status();
        let problem = self.into_problem();
        let mut response = (status, Json(problem)).into_response();
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
        }
        response
    }
}
