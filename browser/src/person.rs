//! What a person does in a browser: goes to a page, writes into fields, presses what has a name, and
//! reads. Nothing here knows what a page is for.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use thirtyfour::{By, WebElement};

use crate::driver::Browser;

/// How long a person waits for a page that has to change at once.
pub const SOON: Duration = Duration::from_secs(15);
/// How often is looked.
const LOOK: Duration = Duration::from_millis(100);

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

/// Somebody who looks at the pages of a server.
pub struct Person<'a> {
    pub browser: &'a Browser,
    pub server: &'a str,
}

impl Person<'_> {
    pub async fn go(&self, path: &str) -> anyhow::Result<()> {
        let url = format!("{}{path}", self.server);
        self.browser.driver.goto(&url).await.context(url)
    }

    /// The page's path with its query.
    pub async fn path(&self) -> anyhow::Result<String> {
        let url = self.browser.driver.current_url().await?;
        let path = url.as_str().strip_prefix(self.server);
        Ok(path.context("not on this server")?.to_owned())
    }

    async fn found(&self, by: By) -> anyhow::Result<WebElement> {
        let began = Instant::now();
        loop {
            match self.browser.driver.find(by.clone()).await {
                Ok(element) => return Ok(element),
                Err(error) if began.elapsed() > SOON => {
                    return Err(error).with_context(|| format!("{by:?} is not on the page"));
                }
                Err(_) => tokio::time::sleep(LOOK).await,
            }
        }
    }

    /// Writes into the field with this id.
    pub async fn fill(&self, id: &str, text: &str) -> anyhow::Result<()> {
        let field = self.found(By::Id(id)).await?;
        field.clear().await?;
        field.send_keys(text).await.with_context(|| id.to_owned())
    }

    /// Chooses from the list with this id what reads so.
    pub async fn choose(&self, id: &str, option: &str) -> anyhow::Result<()> {
        let path = format!("//select[@id='{id}']/option[normalize-space()='{option}']");
        let option = self.found(By::XPath(path)).await?;
        option.click().await.with_context(|| id.to_owned())
    }

    /// The same from the list of this name, which has no id.
    pub async fn choose_named(&self, name: &str, option: &str) -> anyhow::Result<()> {
        let path = format!("//select[@name='{name}']/option[normalize-space()='{option}']");
        let option = self.found(By::XPath(path)).await?;
        option.click().await.with_context(|| name.to_owned())
    }

    /// Presses the button, link, heading of a fold or name of a box that reads so.
    pub async fn press(&self, name: &str) -> anyhow::Result<()> {
        let named = |tag| By::XPath(format!("//{tag}[normalize-space()='{name}']"));
        let began = Instant::now();
        loop {
            // A button says what it does; a link of that name may lead to it.
            for tag in ["button", "summary", "a", "label"] {
                let Ok(found) = self.browser.driver.find(named(tag)).await else {
                    continue;
                };
                // A live page may have put a newer one in its place meanwhile.
                let pressed = async {
                    found.scroll_into_view().await?;
                    found.click().await
                };
                match pressed.await {
                    Err(error) if began.elapsed() > SOON => {
                        return Err(error).with_context(|| name.to_owned());
                    }
                    Err(_) => {}
                    Ok(()) => return Ok(()),
                }
            }
            if began.elapsed() > SOON {
                bail!("nothing on the page is called “{name}”");
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// What is to be read there now; nothing where there is no such element.
    pub async fn read(&self, css: &str) -> anyhow::Result<String> {
        let Ok(element) = self.browser.driver.find(By::Css(css)).await else {
            return Ok(String::new());
        };
        // It may be replaced at any moment by a newer one.
        Ok(element.text().await.unwrap_or_default())
    }

    /// An attribute of what is there, as soon as it is.
    pub async fn attr(&self, css: &str, name: &str) -> anyhow::Result<String> {
        let began = Instant::now();
        loop {
            let element = self.found(By::Css(css)).await?;
            // It may be replaced at any moment by a newer one, which has it too.
            match element.attr(name).await {
                Ok(value) => return value.with_context(|| format!("{css} has no {name}")),
                Err(error) if began.elapsed() > SOON => return Err(error.into()),
                Err(_) => {}
            }
        }
    }

    /// Reads there until it is as expected, and returns it.
    pub async fn sees(
        &self,
        css: &str,
        patience: Duration,
        expected: impl Fn(&str) -> bool,
    ) -> anyhow::Result<String> {
        let began = Instant::now();
        loop {
            let text = self.read(css).await?;
            if expected(&text) {
                return Ok(text);
            }
            if began.elapsed() > patience {
                bail!("{css} still reads {text:?} at {}", self.path().await?);
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Sees the text anywhere on the page.
    pub async fn sees_text(&self, text: &str) -> anyhow::Result<()> {
        let seen = self.sees("body", SOON, |page| page.contains(text)).await;
        seen.map(|_| ())
            .with_context(|| format!("“{text}” is not to be seen"))
    }

    /// Signs in through the form.
    pub async fn sign_in(&self, who: &Account) -> anyhow::Result<()> {
        let file = who.password_file.display().to_string();
        let password = std::fs::read_to_string(&who.password_file).context(file)?;
        self.go("/login").await?;
        self.fill("name", &who.user).await?;
        self.fill("password", password.trim_end()).await?;
        self.press("Sign in").await?;
        self.sees_text(&format!("Signed in as {}", who.user)).await
    }
}
