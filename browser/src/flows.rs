//! What people do with the pages, from signing in to taking a result back; each step says what the
//! person sees, and one that fails leaves a picture.
//!
//! Owns the order of the steps. The server has to have what they need: a tree with a range in which a
//! worker finds something, a survey with a change, and a long log.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde_json::json;
use thirtyfour::By;

use crate::Server;
use crate::driver::Chromium;
use crate::person::{self, Person, SOON};

/// How long a worker may take for what a step waits for.
const WORK: Duration = Duration::from_secs(60);
/// Width of the window, pixels.
const WIDTH: u32 = 1200;
/// What hides a job from others.
const PRIVATE: &str = "Private: only you and operators see it";
/// Makes the server's answers to scripts late.
const SLOW: &str = "const ask = window.fetch;
    window.fetch = (...about) => new Promise((go) => setTimeout(go, 1000)).then(() => ask(...about));";
/// What somebody wrote and chose for a search, and where the cursor is.
const WRITTEN: &str = "return [document.getElementById('q').value,
    document.querySelector('[role=search] [name=state]').value, document.activeElement.id];";

#[derive(clap::Args)]
pub struct FlowsArgs {
    #[command(flatten)]
    server: Server,
    #[command(flatten)]
    who: person::Account,
    /// A tree
    #[arg(long)]
    tree: String,
    /// Its good end
    #[arg(long)]
    good: String,
    /// Its bad end
    #[arg(long)]
    bad: String,
    /// The suite that tells them apart
    #[arg(long)]
    suite: String,
    /// File with what `git bisect log` says of the range
    #[arg(long)]
    bisect_log: PathBuf,
    /// Two surveys with a change that no job looks into, such as /surveys/1: one for who runs scripts
    #[arg(long, num_args = 2)]
    survey: Vec<String>,
    /// A log of 64 MiB, such as /attempts/1/log/build
    #[arg(long)]
    log: String,
    /// What only one line in its middle says
    #[arg(long)]
    line: String,
}

/// Goes through everything; true when every step was seen to work.
pub async fn run(args: &FlowsArgs) -> anyhow::Result<bool> {
    let began = Instant::now();
    let chromium = Chromium::start()?;
    let mut well = true;
    for scripts in [true, false] {
        let browser = chromium.open(scripts).await?;
        browser.dress(WIDTH, false).await?;
        let mut steps = Steps {
            args,
            scripts,
            person: Person {
                browser: &browser,
                server: &args.server.server,
            },
        };
        let done = match scripts {
            true => steps.all().await,
            false => steps.without_scripts().await,
        };
        if let Err(error) = done {
            well = false;
            println!("    {error:#}");
        }
        browser.driver.quit().await?;
    }
    println!("{:.1} s", began.elapsed().as_secs_f64());
    Ok(well)
}

struct Steps<'a> {
    args: &'a FlowsArgs,
    scripts: bool,
    person: Person<'a>,
}

/// Does one step and tells how it went.
macro_rules! step {
    ($self:ident, $name:literal, $doing:expr) => {{
        let began = Instant::now();
        let done = $doing.await;
        $self.tell($name, began, done.as_ref().err()).await?;
        done?
    }};
}

impl Steps<'_> {
    async fn tell(
        &self,
        name: &str,
        began: Instant,
        wrong: Option<&anyhow::Error>,
    ) -> anyhow::Result<()> {
        let how = if self.scripts {
            "scripts"
        } else {
            "no scripts"
        };
        let said = if wrong.is_none() { "well" } else { "WRONG" };
        let time = began.elapsed().as_secs_f64();
        println!("{name:<34} {how:<10} {said:<5} {time:5.1} s");
        if let (Some(_), Some(out)) = (wrong, &self.args.server.out) {
            std::fs::create_dir_all(out)?;
            let file = out.join(format!("{how} {name}.png").replace(' ', "-"));
            std::fs::write(&file, self.person.browser.picture().await?)?;
            println!("    picture: {}", file.display());
        }
        Ok(())
    }

    async fn all(&mut self) -> anyhow::Result<()> {
        step!(self, "sign in", self.person.sign_in(&self.args.who));
        let job = step!(self, "submit a job", self.submit("100", false));
        step!(self, "watch it narrow", self.narrows());
        step!(self, "mark a candidate by hand", self.mark(&job));
        step!(self, "take the mark back", self.unmark(&job));
        step!(self, "cancel", self.cancel(&job));
        let job = step!(self, "submit another", self.submit("200", false));
        step!(self, "write a search meanwhile", self.writes_a_search(&job));
        step!(self, "cancel the other", self.cancel(&job));
        let job = step!(self, "submit a long one", self.submit("900", false));
        step!(self, "see what a run writes", self.tail());
        step!(self, "follow its log", self.follow());
        step!(self, "scroll up, which lets it go", self.let_go());
        step!(self, "cancel the long one", self.cancel(&job));
        let job = step!(
            self,
            "submit with a git bisect log",
            self.submit("300", true)
        );
        step!(self, "watch it name a commit", self.named());
        self.answered(&job).await?;
        self.log().await?;
        step!(self, "sign out", self.sign_out());
        Ok(())
    }

    /// What is done with an answer, and how it is found again.
    async fn answered(&mut self, job: &str) -> anyhow::Result<()> {
        step!(self, "read the culprit", self.culprit(job));
        step!(self, "retract the result", self.retract(job));
        step!(self, "put it back", self.unretract(job));
        step!(self, "search for it", self.search(job));
        step!(self, "from a matrix edge to a job", self.edge());
        Ok(())
    }

    /// The same reading and submitting for who runs no script.
    async fn without_scripts(&mut self) -> anyhow::Result<()> {
        step!(self, "sign in", self.person.sign_in(&self.args.who));
        let job = step!(self, "submit a job", self.submit("500", false));
        step!(self, "watch it narrow", self.refreshes());
        step!(self, "mark a candidate by hand", self.mark(&job));
        step!(self, "take the mark back", self.unmark(&job));
        step!(self, "cancel", self.cancel(&job));
        let job = step!(
            self,
            "submit with a git bisect log",
            self.submit("300", true)
        );
        step!(self, "watch it name a commit", self.named());
        self.answered(&job).await?;
        self.log().await?;
        step!(self, "sign out", self.sign_out());
        Ok(())
    }

    /// Through the form: what it would take is to be seen before. Returns the path of the job.
    async fn submit(&self, seed: &str, bisect_log: bool) -> anyhow::Result<String> {
        let (person, args) = (&self.person, self.args);
        person.go("/jobs/new").await?;
        person.choose("tree", &args.tree).await?;
        person.choose("suite", &args.suite).await?;
        if bisect_log {
            let file = args.bisect_log.display().to_string();
            let text = std::fs::read_to_string(&args.bisect_log).context(file)?;
            person.press("I have begun with git bisect").await?;
            person.fill("bisect_log", &text).await?;
        } else {
            person.fill("good", &args.good).await?;
            person.fill("bad", &args.bad).await?;
        }
        person.press("Configuration, machine and search").await?;
        person.fill("seed", seed).await?;
        let title = format!("flow with seed {seed}");
        if !self.scripts {
            person.fill("title", &title).await?;
            person.press("Look at the range").await?;
            self.forecast().await?;
        } else {
            // Leaving the field is a change; what it would take is looked up by itself.
            person.fill("skip", "").await?;
            self.forecast().await?;
            person.press(PRIVATE).await?;
            // Who does not wait for the next look-up submits what the form says all the same.
            person.browser.driver.execute(SLOW, vec![]).await?;
            person.fill("title", &title).await?;
        }
        person.press("Submit the job").await?;
        person.sees("h1", SOON, |text| text == title).await?;
        person.path().await
    }

    /// Waits until the form says what the job would take.
    async fn forecast(&self) -> anyhow::Result<()> {
        let told = |text: &str| text.contains("What it would take");
        self.person.sees("#preview", SOON, told).await?;
        let commits = self.person.read("#preview .figures").await?;
        ensure!(
            commits.contains("Commits"),
            "no size of the range: {commits}"
        );
        Ok(())
    }

    /// Commits left, as the page says.
    async fn left(&self) -> anyhow::Result<Option<u32>> {
        let text = self.person.read(".verdict .lead").await?;
        let number = text
            .strip_suffix(" to go.")
            .and_then(|t| t.split(' ').next());
        Ok(number.and_then(|n| n.parse().ok()))
    }

    /// The number of commits left falls on the page, which stays the same document.
    async fn narrows(&self) -> anyhow::Result<()> {
        let driver = &self.person.browser.driver;
        driver.execute("window.stayed = true", vec![]).await?;
        self.falls(2).await?;
        let stayed = driver
            .execute("return window.stayed === true", vec![])
            .await?;
        ensure!(stayed.json() == true, "the page was loaded again");
        Ok(())
    }

    /// The list of jobs changes under who writes a search, who loses nothing by it.
    async fn writes_a_search(&self, job: &str) -> anyhow::Result<()> {
        let person = &self.person;
        person.go("/").await?;
        person.press("Narrow it down").await?;
        person.choose_named("state", "queued").await?;
        person.fill("q", "btrfs").await?;
        let row = format!("li:has(a[href='{job}'])");
        let before = person.read(&row).await?;
        ensure!(!before.is_empty(), "the job is not listed");
        let changed = |text: &str| !text.is_empty() && text != before;
        person.sees(&row, WORK, changed).await?;
        let written = person.browser.driver.execute(WRITTEN, vec![]).await?;
        let written = written.json();
        let expected = json!(["btrfs", "queued", "q"]);
        ensure!(
            *written == expected,
            "of what was written is left: {written}"
        );
        Ok(())
    }

    /// Without scripts the page is loaded again by itself.
    async fn refreshes(&self) -> anyhow::Result<()> {
        self.falls(2).await
    }

    /// Waits until the number of commits left was seen to be `different` ones, each less than before.
    async fn falls(&self, different: usize) -> anyhow::Result<()> {
        let began = Instant::now();
        let mut seen: Vec<u32> = Vec::new();
        while seen.len() < different {
            if let Some(left) = self.left().await?
                && seen.last() != Some(&left)
            {
                ensure!(
                    seen.last().is_none_or(|before| left < *before),
                    "{seen:?}, {left}"
                );
                seen.push(left);
            }
            if began.elapsed() > WORK {
                bail!("it does not narrow: {seen:?}");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    async fn mark(&self, job: &str) -> anyhow::Result<()> {
        let person = &self.person;
        person.go(job).await?;
        let first = "table.candidates tbody tr code.hash[title]";
        let rev = person.attr(first, "title").await?;
        person.press("Mark, change or cancel").await?;
        person.fill("mark-rev", &rev).await?;
        person.choose("mark-word", "good").await?;
        person.fill("mark-why", "it runs on my own machine").await?;
        person.press("Mark it").await?;
        person.sees_text("it runs on my own machine").await
    }

    async fn unmark(&self, job: &str) -> anyhow::Result<()> {
        let person = &self.person;
        person.go(&format!("{job}/act")).await?;
        person.sees_text("it runs on my own machine").await?;
        person.press("Take it back").await?;
        let gone = |text: &str| text.contains("Chosen revisions") && !text.contains("on my own");
        person.sees("#main", SOON, gone).await?;
        Ok(())
    }

    async fn cancel(&self, job: &str) -> anyhow::Result<()> {
        let person = &self.person;
        person.go(&format!("{job}/act")).await?;
        person.fill("cancel-reason", "asked by mistake").await?;
        person.press("Cancel the job").await?;
        let cancelled = |text: &str| text == "Cancelled.";
        person.sees(".verdict .lead", SOON, cancelled).await?;
        person.go("/?state=cancelled").await?;
        let at = format!("a[href='{job}']");
        person
            .sees(&at, SOON, |text| text.starts_with("flow with seed"))
            .await?;
        let row = person.read(&format!("li:has({at})")).await?;
        ensure!(row.contains("private") == self.scripts, "{row}");
        Ok(())
    }

    /// The job's page shows the last lines of a run, and newer ones by themselves.
    async fn tail(&self) -> anyhow::Result<()> {
        let person = &self.person;
        let driver = &person.browser.driver;
        let lines = |text: &str| text.contains("of the run");
        let first = person.sees("#tail", WORK, lines).await?;
        driver.execute("window.stayed = true", vec![]).await?;
        let grown = |text: &str| lines(text) && text != first;
        person.sees("#tail", SOON, grown).await?;
        let stayed = driver
            .execute("return window.stayed === true", vec![])
            .await?;
        ensure!(stayed.json() == true, "the page was loaded again");
        Ok(())
    }

    /// At the end of a log newer lines appear, and the page stays at the end.
    async fn follow(&self) -> anyhow::Result<()> {
        let person = &self.person;
        let to = person.attr("#tail a", "href").await?;
        person.go(&to).await?;
        person
            .sees(".log", SOON, |text| text.contains("of the run"))
            .await?;
        self.scroll("document.documentElement.scrollHeight").await?;
        let before = person.read(".log").await?;
        person.sees(".log", SOON, |text| text != before).await?;
        let end = "return document.documentElement.scrollHeight - innerHeight - scrollY";
        let end = person.browser.driver.execute(end, vec![]).await?;
        let end = end.json().as_f64().context("no number")?;
        ensure!(end < 120.0, "the page is {end} pixels away from its end");
        Ok(())
    }

    async fn scroll(&self, to: &str) -> anyhow::Result<()> {
        let scroll = format!("scrollTo(0, {to})");
        self.person.browser.driver.execute(&scroll, vec![]).await?;
        Ok(())
    }

    /// Who scrolls up is left alone, until the end is in view again.
    async fn let_go(&self) -> anyhow::Result<()> {
        let person = &self.person;
        self.scroll("0").await?;
        // What is under way when it is scrolled may still come.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let before = person.read(".log").await?;
        tokio::time::sleep(Duration::from_secs(4)).await;
        ensure!(
            person.read(".log").await? == before,
            "the log moved under the reader"
        );
        self.scroll("document.documentElement.scrollHeight").await?;
        person.sees(".log", SOON, |text| text != before).await?;
        Ok(())
    }

    async fn named(&self) -> anyhow::Result<()> {
        let person = &self.person;
        let driver = &person.browser.driver;
        if self.scripts {
            driver.execute("window.stayed = true", vec![]).await?;
        }
        let named = |text: &str| text.contains("broke it, with");
        person.sees(".verdict .lead", WORK, named).await?;
        person.sees_text("Confidence").await?;
        if !self.scripts {
            return Ok(());
        }
        let stayed = driver
            .execute("return window.stayed === true", vec![])
            .await?;
        ensure!(stayed.json() == true, "the page was loaded again");
        Ok(())
    }

    async fn culprit(&self, job: &str) -> anyhow::Result<()> {
        let person = &self.person;
        person.go(job).await?;
        let subject = person.read(".culprit-subject").await?;
        person.press("The change and its report").await?;
        person.sees("h1", SOON, |text| text == subject).await?;
        person
            .sees(".diff", SOON, |text| text.contains("+++ b/"))
            .await?;
        person
            .sees("pre.report", SOON, |text| text.contains(&subject))
            .await?;
        Ok(())
    }

    async fn retract(&self, job: &str) -> anyhow::Result<()> {
        let person = &self.person;
        person.go(&format!("{job}/act")).await?;
        person
            .fill("retract-reason", "the machine was broken")
            .await?;
        person.press("Retract it").await?;
        person.sees_text("the machine was broken").await?;
        ensure!(person.path().await? == job, "not back at the job");
        Ok(())
    }

    async fn unretract(&self, job: &str) -> anyhow::Result<()> {
        let person = &self.person;
        person.go(&format!("{job}/act")).await?;
        person.press("It holds after all").await?;
        let holds = |text: &str| text.contains("broke it, with");
        person.sees(".verdict .lead", SOON, holds).await?;
        let notice = person.read(".notice").await?;
        ensure!(!notice.contains("the machine was broken"), "{notice}");
        Ok(())
    }

    /// Among all jobs, by a word of its title, its state and the commit it named.
    async fn search(&self, job: &str) -> anyhow::Result<()> {
        let person = &self.person;
        person.go(job).await?;
        let title = person.read("h1").await?;
        let commit = person.read(".culprit .hash").await?;
        let at = format!("a[href='{job}']");
        let found = |text: &str| text == title;
        for words in [title.as_str(), commit.as_str()] {
            ensure!(!words.is_empty(), "nothing to search for");
            person.go("/").await?;
            person.fill("q", words).await?;
            person.press("Search").await?;
            person
                .sees(".meta", SOON, |text| text.contains(" found"))
                .await?;
            person.sees(&at, SOON, found).await?;
        }
        person.press("Narrow it down").await?;
        person.choose_named("state", "running").await?;
        person.press("Search").await?;
        let none = |text: &str| text.starts_with("0 jobs found");
        person.sees(".meta", SOON, none).await?;
        person.press("All jobs").await?;
        person.sees(&at, SOON, found).await?;
        Ok(())
    }

    async fn edge(&self) -> anyhow::Result<()> {
        let person = &self.person;
        let of = &self.args.survey[usize::from(!self.scripts)];
        person.go("/surveys").await?;
        let survey = format!("a[href='{of}']");
        person
            .browser
            .driver
            .find(By::Css(survey))
            .await?
            .click()
            .await?;
        person
            .sees("h2", SOON, |text| text.starts_with("Changes"))
            .await?;
        person.press("Bisect this edge").await?;
        person
            .sees(".crumbs", SOON, |text| text.starts_with("Jobs /"))
            .await?;
        let ended = |text: &str| text.contains("broke it, with");
        person.sees(".verdict .lead", WORK, ended).await?;
        let job = person.path().await?;
        person.go(of).await?;
        let at = format!("a[href='{job}']");
        person
            .sees(&at, SOON, |text| text.starts_with("job "))
            .await?;
        Ok(())
    }

    async fn log(&mut self) -> anyhow::Result<()> {
        step!(self, "open a log of 64 MiB", self.open_log());
        step!(self, "go to its end", self.log_end());
        step!(self, "search in it", self.log_search());
        step!(self, "follow a link to a line", self.log_line());
        step!(self, "fold its parts", self.log_folds());
        Ok(())
    }

    /// How long that takes on a quiet machine is for `make bench-web` to say.
    async fn open_log(&self) -> anyhow::Result<()> {
        self.person.go(&self.args.log).await?;
        self.person.read(".log .l").await?;
        let size = self.person.read(".meta").await?;
        ensure!(size.contains("(64.0 MiB)"), "it is no long log: {size}");
        Ok(())
    }

    async fn log_end(&self) -> anyhow::Result<()> {
        self.person.press("end ⇥").await?;
        let end = |text: &str| text.contains("end of the log");
        self.person.sees(".pager", SOON, end).await?;
        Ok(())
    }

    async fn log_search(&self) -> anyhow::Result<()> {
        let (person, line) = (&self.person, self.args.line.as_str());
        person.fill("q", line).await?;
        person.press("Find").await?;
        let found = person
            .sees(".found", SOON, |text| text.contains(": 1 line"))
            .await?;
        ensure!(found.contains(line), "{found}");
        person
            .browser
            .driver
            .find(By::Css(".found li a"))
            .await?
            .click()
            .await?;
        person
            .sees(".l.mark", SOON, |text| text.contains(line))
            .await?;
        let marked = person.browser.driver.find(By::Css(".l.mark")).await?;
        let at = marked.rect().await?;
        let scrolled = self.is_in_view(at.y, at.height).await?;
        ensure!(scrolled, "the line is not in view");
        Ok(())
    }

    /// Whether a place of the document is on the screen; measured without scripts of the page.
    async fn is_in_view(&self, y: f64, height: f64) -> anyhow::Result<bool> {
        let (top, bottom) = self.person.browser.view().await?;
        Ok(y >= top - 1.0 && y + height <= bottom + 1.0)
    }

    /// The number beside a line is its address, which shows it to somebody else too.
    async fn log_line(&self) -> anyhow::Result<()> {
        let (person, line) = (&self.person, self.args.line.as_str());
        let number = person.browser.driver.find(By::Css(".l.mark > a")).await?;
        number.click().await?;
        let path = person.path().await?;
        let (_, byte) = path.split_once("#b").context("no address of a line")?;
        let at = format!("{}?at={byte}#b{byte}", self.args.log);
        person.go("/help").await?;
        person.go(&at).await?;
        person
            .sees(".l.mark", SOON, |text| text.contains(line))
            .await?;
        Ok(())
    }

    /// What is folded away opens by a press, and all of it by another.
    async fn log_folds(&self) -> anyhow::Result<()> {
        let person = &self.person;
        let (head, hidden) = ("firstbad: configure", "written to .config");
        person.go(&self.args.log).await?;
        person
            .sees(".log", SOON, |text| text.contains(hidden))
            .await?;
        person.press("fold parts without errors").await?;
        let folded = |text: &str| text.contains(head) && !text.contains(hidden);
        person.sees(".log", SOON, folded).await?;
        let code = By::XPath(format!("//summary//code[contains(., '{head}')]"));
        person.browser.driver.find(code).await?.click().await?;
        person
            .sees(".log", SOON, |text| text.contains(hidden))
            .await?;
        person.press("unfold all parts").await?;
        person
            .sees(".log", SOON, |text| text.contains(hidden))
            .await?;
        Ok(())
    }

    async fn sign_out(&self) -> anyhow::Result<()> {
        self.person.press("Sign out").await?;
        let out = |text: &str| text == "Sign in";
        self.person.sees(".who", SOON, out).await?;
        Ok(())
    }
}
