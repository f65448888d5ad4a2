//! Pages that show texts from elsewhere: nothing of a text may do anything but be read.
//!
//! Owns what a page of ours may consist of. What the texts are, and which page shows which of them,
//! is told by whoever put them there.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::Server;
use crate::driver::{Browser, Chromium};
use crate::person::{self, Person};
use crate::trap::Trap;

/// Width of the window, pixels.
const WIDTH: u32 = 1200;
/// A page is given this long to fetch itself again when it is live or its form was changed.
const SETTLE: Duration = Duration::from_millis(900);
/// Pages looked through for a text behind the first one.
const FURTHER: usize = 60;

/// Notes what runs and what is refused, before any script of the page.
const WATCH: &str = include_str!("hostile_watch.js");
/// What is wrong with the page as it is now: called with its width and the texts it has to hold;
/// returns the faults and the texts that are not there.
const CHECK: &str = include_str!("hostile_check.js");

#[derive(clap::Args)]
pub struct HostileArgs {
    #[command(flatten)]
    server: Server,
    /// JSON: a list of {"path": "/jobs/7", "holds": ["text", ...]}
    #[arg(long)]
    pages: PathBuf,
    #[command(flatten)]
    who: person::Account,
}

#[derive(Deserialize)]
struct Wanted {
    path: String,
    /// Texts that are to be read on it, or on one of those that it calls the next.
    #[serde(default)]
    holds: Vec<String>,
    /// Wait for what the page fetches by itself.
    #[serde(default)]
    settle: bool,
}

/// Looks at all pages; true when nothing but text is on them.
pub async fn run(args: &HostileArgs) -> anyhow::Result<bool> {
    let text =
        std::fs::read_to_string(&args.pages).with_context(|| args.pages.display().to_string())?;
    let wanted: Vec<Wanted> = serde_json::from_str(&text).context("--pages")?;
    let trap = Trap::set()?;
    let chromium = Chromium::start()?;
    let browser = chromium.open_behind(true, Some(trap.port)).await?;
    browser.inject(WATCH).await?;
    browser.dress(WIDTH, false).await?;
    Person {
        browser: &browser,
        server: &args.server.server,
    }
    .sign_in(&args.who)
    .await?;
    bait(&browser, &trap).await?;
    let began = Instant::now();
    let (mut wrong, mut texts) = (0, 0);
    for page in &wanted {
        texts += page.holds.len();
        let mut faults = look(&browser, &args.server.server, page).await?;
        faults.extend(trap.caught().into_iter().map(|r| format!("request: {r}")));
        if faults.is_empty() {
            continue;
        }
        wrong += 1;
        println!("WRONG {}", page.path);
        for fault in &faults {
            println!("    {fault}");
        }
        if let Some(out) = &args.server.out {
            std::fs::create_dir_all(out)?;
            std::fs::write(
                out.join(format!("hostile-{wrong}.png")),
                browser.picture().await?,
            )?;
        }
    }
    tokio::time::sleep(SETTLE).await;
    for late in trap.caught() {
        wrong += 1;
        println!("WRONG request: {late}");
    }
    browser.driver.quit().await?;
    println!(
        "{} pages, {texts} texts looked for, {wrong} pages wrong, {:.1} s",
        wanted.len(),
        began.elapsed().as_secs_f64()
    );
    Ok(wrong == 0)
}

/// A page on which everything goes wrong: whoever sees nothing there sees nothing anywhere.
async fn bait(browser: &Browser, trap: &Trap) -> anyhow::Result<()> {
    browser.driver.goto(BAIT).await?;
    tokio::time::sleep(SETTLE).await;
    let told = browser
        .driver
        .execute(CHECK, vec![json!(WIDTH), json!(["not there"])])
        .await?;
    let mut seen: Vec<String> = texts(&told.json()["faults"]).collect();
    seen.extend(texts(&told.json()["missing"]));
    seen.extend(trap.caught());
    for sign in [
        "canary was called",
        "element: <img",
        "attribute: onerror",
        "link: javascript:",
        "title: pwned",
        "pixels wide",
        "not there",
        "http://evil.example/pixel",
    ] {
        if !seen.iter().any(|fault| fault.contains(sign)) {
            bail!("the check does not see “{sign}” where it is: {seen:?}");
        }
    }
    Ok(())
}

const BAIT: &str = "data:text/html,<title>pwned</title><a href=javascript:canary()>x</a>\
    <img src=http://evil.example/pixel onerror=canary()><p style=width:9999px>x";

/// What is wrong with a page and those it calls the next.
async fn look(browser: &Browser, server: &str, page: &Wanted) -> anyhow::Result<Vec<String>> {
    let mut left: BTreeSet<String> = page.holds.iter().cloned().collect();
    let mut faults = Vec::new();
    let mut url = format!("{server}{}", page.path);
    for _ in 0..FURTHER {
        browser
            .driver
            .goto(&url)
            .await
            .with_context(|| url.clone())?;
        if page.settle {
            browser.driver.execute(CHANGE_FORM, vec![]).await?;
            tokio::time::sleep(SETTLE).await;
        }
        let arguments = vec![json!(WIDTH), json!(left)];
        let told = browser.driver.execute(CHECK, arguments).await?;
        let told = told.json();
        faults.extend(texts(&told["faults"]));
        left = texts(&told["missing"]).collect();
        match told["next"].as_str() {
            Some(next) if !left.is_empty() => url = next.to_owned(),
            _ => break,
        }
    }
    faults.extend(left.iter().map(|text| format!("cannot be read: {text:?}")));
    Ok(faults)
}

/// As a person does who changed a field.
const CHANGE_FORM: &str = "document.querySelector('form[data-preview]')
    ?.dispatchEvent(new Event('change', { bubbles: true }));";

fn texts(value: &Value) -> impl Iterator<Item = String> {
    let all = value.as_array().into_iter().flatten();
    all.filter_map(|v| v.as_str().map(str::to_owned))
}
