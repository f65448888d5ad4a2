//! What a person does in a browser: signs in, and knows a name and a password for it.

use std::path::PathBuf;

use anyhow::{Context, bail};
use thirtyfour::By;

use crate::driver::Browser;

/// An account of the server.
#[derive(clap::Args)]
pub struct Account {
    /// Name of the account to sign in with
    #[arg(long, requires = "password_file")]
    user: String,
    /// File with its password
    #[arg(long)]
    password_file: PathBuf,
}

/// Signs in through the form.
pub async fn sign_in(browser: &Browser, server: &str, who: &Account) -> anyhow::Result<()> {
    let file = who.password_file.display().to_string();
    let password = std::fs::read_to_string(&who.password_file).context(file)?;
    let driver = &browser.driver;
    driver.goto(format!("{server}/login")).await?;
    driver
        .find(By::Id("name"))
        .await?
        .send_keys(&who.user)
        .await?;
    let field = driver.find(By::Id("password")).await?;
    field.send_keys(password.trim_end()).await?;
    field.send_keys("\u{e007}").await?;
    let signed_in = format!("Signed in as {}", who.user);
    let body = driver.find(By::Tag("body")).await?.text().await?;
    if !body.contains(&signed_in) {
        bail!("{} could not sign in: {body}", who.user);
    }
    Ok(())
}
