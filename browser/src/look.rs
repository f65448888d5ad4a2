//! Each kind of page as people see it: a picture light, dark and on a telephone, what the page's policy
//! refused, and what axe-core says of its accessibility.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::Context;
use serde_json::Value;

use crate::Server;
use crate::driver::{Browser, Chromium};
use crate::person::{self, Person};

/// Widths and whether it is dark, with the name of the picture.
const DRESSES: [(&str, u32, bool); 3] = [
    ("light", 1200, false),
    ("dark", 1200, true),
    ("narrow", 390, false),
];

/// Notes what a page's policy refuses and what goes wrong in its script.
const WATCH: &str = "window.firstbadFaults = [];
    document.addEventListener('securitypolicyviolation',
        (e) => firstbadFaults.push(`policy: ${e.violatedDirective} ${e.blockedURI}`));
    window.addEventListener('error', (e) => firstbadFaults.push(`script: ${e.message}`));";

/// Serious and critical findings, each as text.
const AXE: &str = "const done = arguments[0];
    axe.run(document, { resultTypes: ['violations'] }).then(
        (r) => done(r.violations
            .filter((v) => v.impact === 'serious' || v.impact === 'critical')
            .map((v) => `${v.impact}: ${v.id}: ${v.nodes.length} x ${v.nodes[0].html.slice(0, 200)}`)),
        (e) => done([`axe: ${e}`]));";

/// The page as it is sent, before a script has changed it.
const SOURCE: &str = "const done = arguments[0];
    fetch(location.href).then((answer) => answer.text()).then(done, () => done(null));";

/// The server's answer.
const STATUS: &str = "return performance.getEntriesByType('navigation')[0].responseStatus;";

/// A page that is not there, which is looked at too.
const NOWHERE: &str = "/nowhere";

/// Where the page leads to on this server.
const LINKS: &str = "return Array.from(document.querySelectorAll(\"a[href^='/']\"),
    (a) => a.getAttribute('href'));";

#[derive(clap::Args)]
pub struct LookArgs {
    #[command(flatten)]
    server: Server,
    /// axe.min.js of axe-core; without it accessibility is not looked at
    #[arg(long)]
    axe: Option<PathBuf>,
    /// Folder for the pages as the server sends them
    #[arg(long)]
    html: Option<PathBuf>,
    #[command(flatten)]
    who: Option<person::Account>,
    /// A page besides those that are found, such as /jobs/7
    #[arg(long)]
    page: Vec<String>,
}

/// Looks at all pages and tells what is wrong; true when nothing is.
pub async fn run(args: &LookArgs) -> anyhow::Result<bool> {
    let chromium = Chromium::start()?;
    let browser = chromium.open(true).await?;
    browser.inject(WATCH).await?;
    if let Some(axe) = &args.axe {
        let text = std::fs::read_to_string(axe).with_context(|| axe.display().to_string())?;
        browser.inject(&text).await?;
    }
    for dir in [&args.server.out, &args.html].into_iter().flatten() {
        std::fs::create_dir_all(dir)?;
    }
    if let Some(who) = &args.who {
        let server = &args.server.server;
        let browser = &browser;
        Person { browser, server }.sign_in(who).await?;
    }
    let mut pages = kinds(&browser, &args.server.server).await?;
    pages.extend(args.page.iter().map(|p| (file_name(p), p.clone())));
    let mut well = true;
    for (name, path) in &pages {
        for (dress, width, dark) in DRESSES {
            browser.dress(width, dark).await?;
            let url = format!("{}{path}", args.server.server);
            browser.driver.goto(&url).await?;
            let mut faults = faults(&browser, width, args.axe.is_some()).await?;
            let status = browser.driver.execute(STATUS, vec![]).await?;
            let wanted = if path == NOWHERE { 404 } else { 200 };
            if *status.json() != wanted {
                faults.push(format!("the answer is {}", status.json()));
            }
            let said = if faults.is_empty() { "well" } else { "WRONG" };
            println!("{name:<10} {dress:<7} {said:<6} {path}");
            for fault in &faults {
                println!("    {fault}");
            }
            well &= faults.is_empty();
            if let Some(out) = &args.server.out {
                let picture = browser.picture().await?;
                std::fs::write(out.join(format!("{name}-{dress}.png")), picture)?;
            }
        }
        if let Some(dir) = &args.html {
            let sent = browser.driver.execute_async(SOURCE, vec![]).await?;
            let sent = sent.json().as_str().context("no page")?.to_owned();
            std::fs::write(dir.join(format!("{name}.html")), sent)?;
        }
    }
    browser.driver.quit().await?;
    Ok(well)
}

async fn faults(browser: &Browser, width: u32, axe: bool) -> anyhow::Result<Vec<String>> {
    let driver = &browser.driver;
    let told = driver
        .execute(
            "return window.firstbadFaults ?? ['script: not watched']",
            vec![],
        )
        .await?;
    let mut faults = texts(told.json());
    let wide = driver
        .execute("return document.documentElement.scrollWidth", vec![])
        .await?;
    let wide = wide.json().as_u64().unwrap_or(0);
    if wide > u64::from(width) {
        faults.push(format!("the page is {wide} pixels wide"));
    }
    if axe {
        let found = driver.execute_async(AXE, vec![]).await?;
        faults.extend(texts(found.json()));
    }
    Ok(faults)
}

fn texts(value: &Value) -> Vec<String> {
    let all = value.as_array().into_iter().flatten();
    all.filter_map(|v| v.as_str().map(str::to_owned)).collect()
}

/// One page of each kind that the server has: its name and its path.
async fn kinds(browser: &Browser, server: &str) -> anyhow::Result<Vec<(String, String)>> {
    let mut found: Vec<(String, String)> = Vec::new();
    let mut seen: BTreeSet<String> = BTreeSet::new();
    let mut to_do = vec!["/".to_owned(), NOWHERE.to_owned(), "/jobs/new".to_owned()];
    while let Some(path) = to_do.pop() {
        let name = kind(&path);
        if !seen.insert(name.clone()) {
            continue;
        }
        browser.driver.goto(format!("{server}{path}")).await?;
        // All at once: a live page may replace them at any moment.
        let links = browser.driver.execute(LINKS, vec![]).await?;
        for to in texts(links.json()) {
            let to = to.split('#').next().unwrap_or_default().to_owned();
            let others = ["/report", "-log", "/raw", ".atom", ".eml"];
            let page = !others.iter().any(|end| to.ends_with(end));
            if page && !to.contains("/api/") && !to.contains("/artefacts/") {
                to_do.push(to);
            }
        }
        found.push((name, path));
    }
    found.sort();
    Ok(found)
}

/// A name for the picture of a page that was asked for.
fn file_name(path: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    path.chars().map(plain).collect()
}

/// What a page is, from its path: its words without numbers and names.
fn kind(path: &str) -> String {
    let path = path.split('?').next().unwrap_or_default();
    let parts: Vec<&str> = path.split('/').filter(|p| !p.is_empty()).collect();
    match parts[..] {
        [] => "jobs".to_owned(),
        ["jobs", "new"] => "new".to_owned(),
        ["jobs"] => "jobs".to_owned(),
        ["jobs", _, page] => page.to_owned(),
        ["attempts", _] => "attempt".to_owned(),
        ["attempts", _, "log", name] => format!("log-{name}"),
        [kind, _] => kind.trim_end_matches('s').to_owned(),
        [first, ..] => first.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::kind;

    #[test]
    fn pages_of_a_kind_are_looked_at_once() {
        for (path, name) in [
            ("/", "jobs"),
            ("/jobs?state=done", "jobs"),
            ("/jobs/7", "job"),
            ("/jobs/7/culprit", "culprit"),
            ("/jobs/new", "new"),
            ("/trees", "trees"),
            ("/trees/linux", "tree"),
            ("/attempts/3?job=7", "attempt"),
            ("/attempts/3/log/console?offset=tail", "log-console"),
        ] {
            assert_eq!(kind(path), name, "{path}");
        }
    }
}
