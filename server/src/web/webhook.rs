//! The pages of webhooks: who is told, what was sent, and once more.

use askama::Template;
use axum::Form;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Redirect};
use firstbad_api::webhook::{Delivery, EVENTS, NewWebhook, Webhook};
use serde::Deserialize;
use uuid::Uuid;

use super::error::{Page, page, page_as, secret_page};
use super::format;
use crate::access::Principal;
use crate::api::webhooks;
use crate::db;
use crate::error::AppError;
use crate::state::App;

/// The fields, as they were written.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Written {
    url: String,
    /// One event; none: all.
    event: String,
    every: Option<String>,
}

/// `webhooks.html`.
#[derive(Template)]
#[template(path = "webhooks.html")]
pub struct WebhooksPage {
    webhooks: Vec<Webhook>,
    /// The secret, told once.
    made: Option<String>,
    wrong: Option<String>,
    written: Written,
}

impl WebhooksPage {
    async fn of(app: &App, who: &Principal, written: Written) -> Result<WebhooksPage, AppError> {
        Ok(WebhooksPage {
            webhooks: webhooks::of(app, who).await?,
            made: None,
            wrong: None,
            written,
        })
    }

    fn events(&self) -> &'static [&'static str] {
        &EVENTS
    }
}

/// `GET /webhooks`.
pub(super) async fn list(State(app): State<App>, who: Principal) -> Page {
    page(&WebhooksPage::of(&app, &who, Written::default()).await?)
}

/// `POST /webhooks`: shows the secret of the new one, once.
pub(super) async fn make(
    State(app): State<App>,
    who: Principal,
    Form(written): Form<Written>,
) -> Page {
    let event = Some(written.event.clone()).filter(|event| !event.is_empty());
    let new = NewWebhook {
        url: written.url.trim().to_owned(),
        events: event.into_iter().collect(),
        every: written.every.is_some(),
        patchwork: None,
    };
    match webhooks::make(&app, &who, &new).await {
        Ok(made) => {
            let mut shown = WebhooksPage::of(&app, &who, Written::default()).await?;
            shown.made = Some(made.secret);
            secret_page(&shown)
        }
        Err(error @ AppError::Problem(_)) => {
            let problem = error.into_problem();
            let mut shown = WebhooksPage::of(&app, &who, written).await?;
            shown.wrong = Some(problem.detail);
            page_as(problem.status, &shown)
        }
        Err(error) => Err(error.into()),
    }
}

/// `webhook.html`.
#[derive(Template)]
#[template(path = "webhook.html")]
pub struct WebhookPage {
    webhook: Webhook,
    deliveries: Vec<Delivery>,
}

/// `GET /webhooks/{id}`.
pub(super) async fn show(State(app): State<App>, who: Principal, Path(id): Path<i64>) -> Page {
    let found = webhooks::of(&app, &who).await?;
    let found = found.into_iter().find(|webhook| webhook.id == id);
    let missing = || AppError::not_found(format!("there is no webhook {id}"));
    let webhook = found.ok_or_else(missing)?;
    let mut conn = app.pool.acquire().await.map_err(AppError::from)?;
    let deliveries = db::webhook::deliveries(&mut conn, id).await;
    page(&WebhookPage {
        webhook,
        deliveries: deliveries.map_err(AppError::from)?,
    })
}

/// `POST /webhooks/{id}/test`.
pub(super) async fn test(State(app): State<App>, who: Principal, Path(id): Path<i64>) -> Page {
    webhooks::ping(&app, &who, id).await?;
    Ok(Redirect::to(&format!("/webhooks/{id}")).into_response())
}

/// `POST /webhooks/{id}/remove`.
pub(super) async fn remove(State(app): State<App>, who: Principal, Path(id): Path<i64>) -> Page {
    webhooks::end(&app, &who, id).await?;
    Ok(Redirect::to("/webhooks").into_response())
}

/// `POST /deliveries/{id}/replay`.
pub(super) async fn replay(State(app): State<App>, who: Principal, Path(id): Path<Uuid>) -> Page {
    let webhook = webhooks::send_again(&app, &who, id).await?;
    Ok(Redirect::to(&format!("/webhooks/{webhook}")).into_response())
}
