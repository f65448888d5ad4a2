//! A campaign of kci-bisect as a job. Pure: what cannot be said of a job is refused by field.

use firstbad_api::campaign::{ExpectedSignal, NewCampaign, Scope, VERSION, Workload};
use firstbad_api::job::{JobConfig, Signal};
use firstbad_api::lease::ConfigBase;
use serde_json::{Value, json};

/// A field that cannot be taken, and why.
#[derive(Debug, PartialEq, Eq)]
pub struct Refused {
    /// Such as `/scope/arch`.
    pub pointer: &'static str,
    pub why: String,
}

fn refuse<T>(pointer: &'static str, why: impl Into<String>) -> Result<T, Refused> {
    Err(Refused {
        pointer,
        why: why.into(),
    })
}

/// The request for a job on `tree` that means the same, as JSON with all defaults left out.
///
/// # Errors
/// The first field that no job can have.
pub fn job(campaign: &NewCampaign, tree: &str) -> Result<Value, Refused> {
    if campaign.contract_version != VERSION {
        return refuse("/contract_version", format!("only {VERSION} is understood"));
    }
    if campaign.composition.is_some() {
        let why = "builds and runs are made here in one way; leave it out";
        return refuse("/composition", why);
    }
    if campaign.search_policy.kind != "bisect" {
        return refuse("/search_policy/type", "only bisect is there");
    }
    if let Some(name) = campaign.search_policy.parameters.keys().next() {
        let why = format!("there is no parameter {name}; leave it out");
        return refuse("/search_policy/parameters", why);
    }
    let config = config(&campaign.scope)?;
    let Some(workload) = &campaign.scope.workload else {
        return refuse("/scope/workload", "say which suite is to be run");
    };
    let signal = signal(&campaign.regression_type, &campaign.expected_signal)?;
    Ok(json!({
        "tree": tree,
        "good": [campaign.boundaries.good.commit],
        "bad": campaign.boundaries.bad.commit,
        "suite": workload.name,
        "cases": cases(workload)?,
        "signal": signal,
        "config": config,
    }))
}

/// What stays the same in all runs.
fn config(scope: &Scope) -> Result<JobConfig, Refused> {
    if let Some(arch) = scope.arch.as_deref().filter(|a| *a != "x86_64") {
        let why = format!("{arch} cannot be built here; use x86_64");
        return refuse("/scope/arch", why);
    }
    if scope.sut.as_deref().is_some_and(|sut| sut != "qemu") {
        return refuse("/scope/sut", "kernels are run in qemu alone");
    }
    if let Some(toolchain) = &scope.toolchain {
        if toolchain.name != "gcc" {
            return refuse("/scope/toolchain/name", "kernels are built with gcc alone");
        }
        if toolchain.version.is_some() {
            let why =
                "the compiler is that of the workers, the same for all of a job; leave it out";
            return refuse("/scope/toolchain/version", why);
        }
    }
    let Some(kernel) = &scope.kernel_config else {
        return Ok(JobConfig::default());
    };
    if !kernel.fragments.is_empty() {
        let why = "files elsewhere are not fetched; give the tree a configuration, or submit a job \
                   with the fragment's text";
        return refuse("/scope/kernel_config/fragments", why);
    }
    let base = match kernel.target.as_str() {
        "tinyconfig" => ConfigBase::Tinyconfig,
        "defconfig" | "x86_64_defconfig" => ConfigBase::X8664Defconfig,
        other => {
            let why =
                format!("{other} is not known; use tinyconfig, defconfig or x86_64_defconfig");
            return refuse("/scope/kernel_config/target", why);
        }
    };
    Ok(JobConfig {
        base: Some(base),
        fragment: String::new(),
    })
}

fn cases(workload: &Workload) -> Result<Vec<String>, Refused> {
    const FIELD: &str = "/scope/workload/configuration";
    let mut names = vec![];
    for (key, value) in &workload.configuration {
        let list = value.as_array().filter(|_| key == "cases");
        let Some(list) = list else {
            let why = format!("{key} means nothing here; only cases, a list of names, does");
            return refuse(FIELD, why);
        };
        for name in list {
            match name.as_str() {
                Some(name) => names.push(name.to_owned()),
                None => return refuse(FIELD, "cases: a list of names is wanted"),
            }
        }
    }
    Ok(names)
}

/// What counts as bad.
fn signal(regression: &str, expected: &ExpectedSignal) -> Result<Signal, Refused> {
    let signature = expected.signature.as_deref().map(str::trim);
    let signature = signature.filter(|s| !s.is_empty());
    if regression == "performance" {
        return performance(expected);
    }
    if !matches!(regression, "boot" | "unit_test") {
        let why = match regression {
            "build" | "config" => {
                "a revision that cannot be built is left out here, and never looked for"
            }
            _ => "use boot, unit_test or performance",
        };
        return refuse("/regression_type", why);
    }
    if expected.metric.is_some() {
        let why = "only a performance regression has one";
        return refuse("/expected_signal/metric", why);
    }
    match (expected.kind.as_str(), signature, regression) {
        ("log_signature", Some(title), _) => Ok(Signal::Crash {
            title: title.to_owned(),
        }),
        ("log_signature", None, _) => {
            let why = "the title of a crash is wanted, or a part of it";
            refuse("/expected_signal/signature", why)
        }
        ("test_failure", Some(case), "unit_test") => Ok(Signal::Cases {
            cases: vec![case.to_owned()],
        }),
        ("test_failure", None, "unit_test") => Ok(Signal::Failure),
        _ => {
            let why = match regression {
                "boot" => "use log_signature",
                _ => "use log_signature or test_failure",
            };
            refuse("/expected_signal/type", why)
        }
    }
}

fn performance(expected: &ExpectedSignal) -> Result<Signal, Refused> {
    if expected.kind != "performance_change" {
        return refuse("/expected_signal/type", "use performance_change");
    }
    if expected.signature.is_some() {
        let why = "a performance regression has a metric instead";
        return refuse("/expected_signal/signature", why);
    }
    let Some(metric) = &expected.metric else {
        let why = "performance wants a metric";
        return refuse("/expected_signal/metric", why);
    };
    if expected.baseline_value.is_none() {
        let why = "it is required for performance";
        return refuse("/expected_signal/baseline_value", why);
    }
    if expected.threshold.as_ref().is_some_and(|t| !t.is_empty()) {
        let why = "a run is bad when it is nearer to the bad end; leave it out";
        return refuse("/expected_signal/threshold", why);
    }
    Ok(Signal::Metric {
        name: metric.name.clone(),
        threshold: None,
    })
}

/// Whether two addresses are of one repository.
pub fn same_repository(a: &str, b: &str) -> bool {
    let bare = |url: &str| {
        let url = url.trim().trim_end_matches('/');
        url.strip_suffix(".git").unwrap_or(url).to_owned()
    };
    bare(a) == bare(b)
}
