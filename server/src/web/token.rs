//! The page of somebody's tokens.

use askama::Template;
use axum::Form;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Redirect};
use firstbad_api::user::{NewToken, Role, Token, TokenRole, default_days};
use serde::Deserialize;

use super::error::{Page, page, page_as, secret_page};
use super::format;
use crate::access::Principal;
use crate::api::tokens;
use crate::error::AppError;
use crate::state::App;

/// The fields, as they were written.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Written {
    name: String,
    role: Option<TokenRole>,
    days: String,
}

/// `tokens.html`.
#[derive(Template)]
#[template(path = "tokens.html")]
pub struct TokensPage {
    tokens: Vec<Token>,
    /// Told once.
    made: Option<String>,
    wrong: Option<String>,
    written: Written,
}

impl TokensPage {
    async fn of(app: &App, who: &Principal, written: Written) -> Result<TokensPage, AppError> {
        Ok(TokensPage {
            tokens: tokens::of(app, who).await?,
            made: None,
            wrong: None,
            written,
        })
    }

    /// Whether the reader may make a token with this role.
    fn may(&self, role: Role) -> bool {
        crate::access::current().principal.may(role)
    }

    fn is_over(&self, token: &Token) -> bool {
        let expired = token.expires_at.as_deref().is_some_and(format::is_past);
        expired || token.revoked_at.is_some()
    }
}

/// `GET /tokens`.
pub(super) async fn show(State(app): State<App>, who: Principal) -> Page {
    page(&TokensPage::of(&app, &who, Written::default()).await?)
}

/// `POST /tokens`: shows the new token, once.
pub(super) async fn make(
    State(app): State<App>,
    who: Principal,
    Form(written): Form<Written>,
) -> Page {
    let days = match written.days.trim() {
        "" => Ok(default_days()),
        text => text.parse().map_err(|_| {
            let why = format!("days: “{text}” is no number of days");
            AppError::bad("bad-days", "/days", why)
        }),
    };
    let made = match days {
        Err(error) => Err(error),
        Ok(days) => {
            let new = NewToken {
                name: written.name.trim().to_owned(),
                role: written.role.unwrap_or(TokenRole::Submitter),
                days,
            };
            tokens::make(&app, &who, &new).await
        }
    };
    match made {
        Ok(made) => {
            let mut shown = TokensPage::of(&app, &who, Written::default()).await?;
            shown.made = Some(made.token);
            secret_page(&shown)
        }
        Err(error @ AppError::Problem(_)) => {
            let problem = error.into_problem();
            let mut shown = TokensPage::of(&app, &who, written).await?;
            shown.wrong = Some(problem.detail);
            page_as(problem.status, &shown)
        }
        Err(error) => Err(error.into()),
    }
}

/// `POST /tokens/{id}/revoke`.
pub(super) async fn revoke(State(app): State<App>, who: Principal, Path(id): Path<String>) -> Page {
    tokens::end(&app, &who, &id).await?;
    Ok(Redirect::to("/tokens").into_response())
}
