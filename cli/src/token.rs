//! `token`: what programs show to be let in.

use clap::{Subcommand, ValueEnum};
use firstbad_api::user::{MadeToken, NewToken, Token, TokenRole, default_days};
use reqwest::Method;

use crate::args::Common;
use crate::client::{Client, segment};
use crate::fail::Done;
use crate::{show, text};

#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Make a token and print it; it is not kept and not shown again.
    Add {
        /// What it is for.
        name: String,
        /// At most your own role.
        #[arg(long, value_enum, default_value_t = Named::Submitter)]
        role: Named,
        /// Until it expires.
        #[arg(long, value_name = "N", default_value_t = default_days())]
        days: u32,
    },
    /// List your tokens; as an admin, all.
    List {
        /// Print what the server answers.
        #[arg(long)]
        json: bool,
    },
    /// End a token; it does nothing from now on.
    Revoke {
        /// As `token list` shows it.
        id: String,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Named {
    /// Reads.
    Viewer,
    /// Submits, and acts on jobs of its own.
    Submitter,
    /// Acts on all jobs, sees private ones, manages trees.
    Operator,
    /// Manages accounts.
    Admin,
    /// Builds, runs and reports.
    Worker,
}

impl From<Named> for TokenRole {
    fn from(named: Named) -> TokenRole {
        match named {
            Named::Viewer => TokenRole::Viewer,
            Named::Submitter => TokenRole::Submitter,
            Named::Operator => TokenRole::Operator,
            Named::Admin => TokenRole::Admin,
            Named::Worker => TokenRole::Worker,
        }
    }
}

pub async fn run(common: &Common, command: &TokenCommand) -> Done {
    let client = Client::new(common, None)?;
    match command {
        TokenCommand::Add { name, role, days } => {
            let new = NewToken {
                name: name.clone(),
                role: (*role).into(),
                days: *days,
            };
            let made: MadeToken = client.post("/api/v1/tokens", &new, &[]).await?;
            println!("{}", text::line(&made.token));
        }
        TokenCommand::Revoke { id } => {
            let path = format!("/api/v1/tokens/{}", segment(id));
            client.call(Method::DELETE, &path).await?;
            println!("token {} is revoked", text::line(id));
        }
        TokenCommand::List { json } => {
            let tokens: Vec<Token> = client.get("/api/v1/tokens").await?;
            if *json {
                return show::json(&tokens);
            }
            let rows = tokens.iter().map(|token| {
                let ends = match (&token.revoked_at, &token.expires_at) {
                    (Some(_), _) => "revoked",
                    (None, Some(at)) => at,
                    (None, None) => "never",
                };
                let words = [&token.id, &token.name, &token.role, ends];
                let used = token.used_at.as_deref().unwrap_or("never");
                words.into_iter().chain([used]).map(text::line).collect()
            });
            println!(
                "{}",
                show::table(&["id", "name", "may", "ends", "used"], rows)
            );
        }
    }
    Ok(0)
}
