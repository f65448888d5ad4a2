//! The suite of a job request: does it exist, and does it have the named cases?

use axum::http::StatusCode;
use firstbad_api::custom;
use firstbad_api::job::{NewJob, Signal};
use firstbad_api::lease::Fragment;
use firstbad_api::suite::{CaseSpec, SuiteBundle};

use crate::db;
use crate::error::AppError;
use crate::ladder::Kind;
use crate::state::App;

/// The suite of a request, or what its own test becomes, with the configuration it needs.
pub(super) fn check(app: &App, new: &NewJob) -> Result<(SuiteBundle, Vec<Fragment>), AppError> {
    let (suite, fragments) = match own_test(new)? {
        Some(own) => own,
        None => app.suites.get(&new.suite).cloned().ok_or_else(|| {
            let names: Vec<&str> = app.suites.names().collect();
            let why = format!(
                "suite: there is no suite {:?}; there are {}, and {} for a test of your own",
                new.suite,
                names.join(", "),
                custom::NAME
            );
            AppError::bad("unknown-suite", "/suite", why)
        })?,
    };
    let suite = match &new.fstests {
        Some(fstests) => crate::fstests::suite(&suite, &new.cases, &fstests.exclude)
            .map_err(AppError::Internal)?,
        None => suite,
    };
    known_cases(&suite, &new.cases, "cases", false)?;
    if let Signal::Cases { cases } = &new.signal {
        known_cases(&suite, cases, "signal/cases", true)?;
        let is_of = |case: &String, name: &String| name == case || inside(case, name);
        let run = |name: &String| new.cases.is_empty() || new.cases.iter().any(|c| is_of(c, name));
        if cases.is_empty() || !cases.iter().all(run) {
            return Err(AppError::bad(
                "bad-signal",
                "/signal/cases",
                "signal.cases: name at least one case, and only cases that are run",
            ));
        }
    }
    Ok((suite, fragments))
}

/// The revision that the suite's selftests are pinned to, by its full id.
pub(super) async fn selftests(
    app: &App,
    new: &NewJob,
    tree: i64,
    suite: &SuiteBundle,
) -> Result<Option<String>, AppError> {
    let pointer = "/selftests_from";
    let Some(from) = &new.selftests_from else {
        return Ok(None);
    };
    if suite.spec.kselftest.is_empty() {
        let why = format!(
            "selftests_from: the suite {} has no selftests of a kernel tree; leave it out",
            suite.spec.name
        );
        return Err(AppError::bad("no-selftests", pointer, why));
    }
    let resolved = app.repos.resolve(&new.tree, from).await;
    let rev = resolved.map_err(|e| AppError::repo(e, pointer))?.rev;
    let mut conn = app.pool.acquire().await?;
    let release = db::release::find(&mut conn, tree, &rev).await?;
    if let Some(release) = release.filter(|r| r.kind != Kind::Source.as_str()) {
        let why = format!(
            "selftests_from: {from} is a packaged kernel without its source; name a source release, such \
             as source/{}",
            release.version
        );
        return Err(AppError::bad("no-source", pointer, why));
    }
    Ok(Some(rev))
}

/// The suite that the user's own test becomes, if one is there.
fn own_test(new: &NewJob) -> Result<Option<(SuiteBundle, Vec<Fragment>)>, AppError> {
    let named = new.suite == custom::NAME;
    let Some(test) = &new.custom else {
        if named {
            let why = "custom: the suite custom is a test of your own, and none is there; give its \
                       kind, name and content";
            return Err(AppError::bad("no-test", "/custom", why));
        }
        return Ok(None);
    };
    if !named {
        let why = format!(
            "suite: a test of your own runs as suite {:?}; it cannot be added to another one",
            custom::NAME
        );
        return Err(AppError::bad("two-suites", "/suite", why));
    }
    let suite = crate::custom::suite(test).map_err(|refused| {
        let status = match refused.large {
            true => StatusCode::PAYLOAD_TOO_LARGE,
            false => StatusCode::UNPROCESSABLE_ENTITY,
        };
        let pointer = format!("/custom{}", refused.pointer);
        let field = pointer[1..].replace('/', ".");
        AppError::refused(
            status,
            "bad-test",
            &pointer,
            format!("{field}: {}", refused.why),
        )
    })?;
    Ok(Some(suite))
}

/// Whether a name is that of a sub-test of a case.
fn inside(case: &str, name: &str) -> bool {
    name.strip_prefix(case).is_some_and(|r| r.starts_with('/'))
}

/// With `subtests`, a name may be `CASE/SUB-TEST`: what a case prints as KTAP is known once it runs.
fn known_cases(
    suite: &SuiteBundle,
    named: &[String],
    field: &str,
    subtests: bool,
) -> Result<(), AppError> {
    for (i, case) in named.iter().enumerate() {
        let known = |c: &CaseSpec| &c.name == case || subtests && inside(&c.name, case);
        if !suite.spec.case.iter().any(known) {
            let cases: Vec<&str> = suite.spec.case.iter().map(|c| c.name.as_str()).collect();
            return Err(AppError::bad(
                "unknown-case",
                &format!("/{field}/{i}"),
                format!(
                    "{}: {} has no case {case:?}; it has {}",
                    field.replace('/', "."),
                    suite.spec.name,
                    cases.join(", ")
                ),
            ));
        }
    }
    Ok(())
}
