//! `submit`: from the command line to a job request.

use firstbad_api::bisect_log::{self, Stands};
use firstbad_api::custom::NAME;
use firstbad_api::fstests::Fstests;
use firstbad_api::job::{self, Created, NewJob, Range, Signal};
use firstbad_api::lease::RunMode;
use firstbad_api::limits;

use crate::args::{Common, Find, Mode, SubmitArgs};
use crate::client::Client;
use crate::fail::{Done, Fail};
use crate::{custom, input, show, watch, written};

/// Sends the request; with `--wait` follows the job and ends as it ends.
pub async fn run(common: &Common, args: &SubmitArgs) -> Done {
    let mut body = request(args)?;
    let client = Client::new(common, None)?;
    if let Some(written) = written::write(&client, args, custom::name(&body)).await? {
        written.put_into(&mut body);
        if !args.json {
            println!("{}", written.lines());
        }
    }
    if args.preview {
        let range: Range = client.post("/api/v1/jobs/preview", &body, &[]).await?;
        if args.json {
            return show::json(&range);
        }
        println!("{}", show::range(&range));
        if let Some(answered) = &range.answered {
            println!("{}", show::answered(answered));
        }
        return Ok(0);
    }
    let headers: Vec<(&'static str, &str)> = args
        .idempotency_key
        .iter()
        .map(|key| ("Idempotency-Key", key.as_str()))
        .collect();
    let created: Created = client.post("/api/v1/jobs", &body, &headers).await?;
    if let Some(answered) = &created.answered {
        eprintln!("{}", show::answered(answered));
    }
    if !args.wait {
        if args.json {
            return show::json(&created);
        }
        println!("{}", told(&client, &created));
        return Ok(0);
    }
    eprintln!("{}", told(&client, &created));
    watch::follow(&client, created.id, args.json).await
}

/// The job that a request has, and what is told only now.
fn told(client: &Client, created: &Created) -> String {
    let how = match (created.created, created.joined) {
        (true, _) => "",
        (false, true) => " (somebody has asked the same: their job goes on)",
        (false, false) => " (joined)",
    };
    let mut out = format!("job {}{how}: {}", created.id, client.page(&created.url));
    if let Some(secret) = &created.callback_secret {
        out += &format!("\nthe callback is signed with {secret}");
    }
    out
}

fn request(args: &SubmitArgs) -> Result<NewJob, Fail> {
    if args.fixups.len() > limits::PATCH_COUNT {
        return Err(Fail::Usage(format!(
            "--fixup: {} patches, at most {} are allowed",
            args.fixups.len(),
            limits::PATCH_COUNT
        )));
    }
    let mut left = limits::PATCH_BYTES;
    let mut fixups = Vec::with_capacity(args.fixups.len());
    for path in &args.fixups {
        let patch = input::text(path, left)?;
        left -= patch.len();
        fixups.push(patch);
    }
    let mut range = Stands {
        good: args.good.clone(),
        bad: args.bad.clone().unwrap_or_default(),
        skip: vec![],
        paths: args.paths.clone(),
        first_parent: args.first_parent,
    };
    if let Some(path) = &args.bisect_log {
        let text = input::text(path, limits::JSON_BODY_BYTES)?;
        range = bisect_log::read(&text)
            .map_err(|why| Fail::Data(format!("--bisect-log {}: {why}", path.display())))?;
    }
    range.skip.extend(args.skip.iter().cloned());
    Ok(NewJob {
        tree: args.tree.clone(),
        good: range.good,
        bad: range.bad,
        find: match args.find {
            Find::Regression => job::Find::Regression,
            Find::Fix => job::Find::Fix,
        },
        suite: args.suite.clone().unwrap_or(NAME.to_owned()),
        custom: custom::test(&args.own)?,
        cases: args.cases.clone(),
        signal: signal(args),
        config: args.config.read()?,
        mode: match args.mode {
            Mode::Exact => RunMode::Exact,
            Mode::Real => RunMode::Real,
        },
        vcpus: args.vcpus,
        shift: args.shift,
        runs: args.runs,
        confidence: args.confidence,
        max_runs: args.max_runs,
        seed: args.seed,
        skip: range.skip,
        paths: range.paths,
        first_parent: range.first_parent,
        merge_first: args.merge_first,
        every_flip: args.every_flip,
        fixups,
        only: args.only.clone(),
        survey: false,
        selftests_from: args.selftests_from.clone(),
        fstests: fstests(args),
        two_point: args.two_point,
        private: args.private,
        title: args.title.clone(),
        labels: args.terms.labels.clone(),
        priority: args.terms.priority(),
        budget: args.terms.budget(),
        parallelism: args.terms.parallelism,
        toolchain: args.terms.toolchain.clone(),
        callback: args.terms.callback(),
        patchwork: args.terms.patchwork(),
        fresh: args.terms.fresh,
    })
}

fn fstests(args: &SubmitArgs) -> Option<Fstests> {
    let (tree, rev) = args.fstests.as_ref()?.clone();
    Some(Fstests {
        tree,
        rev,
        groups: args.groups.clone(),
        exclude: args.exclude.clone(),
    })
}

fn signal(args: &SubmitArgs) -> Signal {
    match (&args.crash, &args.metric, args.threshold) {
        (Some(title), _, _) => Signal::Crash {
            title: title.clone(),
        },
        (None, Some(name), threshold) => Signal::Metric {
            name: name.clone(),
            threshold,
        },
        _ if !args.failing.is_empty() => Signal::Cases {
            cases: args.failing.clone(),
        },
        _ => Signal::Failure,
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use firstbad_api::job::JobConfig;
    use firstbad_api::lease::ConfigBase;

    use super::*;
    use crate::args::{Cli, Command};

    fn submit(more: &str) -> SubmitArgs {
        let line = format!("firstbad submit --tree t --good a --bad b --suite s{more}");
        match Cli::try_parse_from(line.split(' ')).unwrap().command {
            Command::Submit(args) => *args,
            _ => panic!("not submit"),
        }
    }

    #[test]
    fn the_shortest_request_leaves_the_rest_to_the_server() {
        let body = request(&submit("")).unwrap();
        assert_eq!(body.signal, Signal::Failure);
        assert_eq!(body.config, JobConfig::default());
        assert_eq!((body.runs, body.seed, body.vcpus), (0, 1, 1));
    }

    #[test]
    fn signals_and_bases() {
        let body = request(&submit(" --metric write_kbps --threshold 500 --find fix")).unwrap();
        let name = "write_kbps".to_string();
        let threshold = Some(500.0);
        assert_eq!(body.signal, Signal::Metric { name, threshold });
        assert_eq!(body.find, job::Find::Fix);
        let body = request(&submit(" --crash WARNING --base defconfig --mode real")).unwrap();
        let title = "WARNING".to_string();
        assert_eq!(body.signal, Signal::Crash { title });
        assert_eq!(body.config.base, Some(ConfigBase::X8664Defconfig));
        assert_eq!(body.mode, RunMode::Real);
    }

    #[test]
    fn a_patch_is_named_with_its_patchwork() {
        let body = request(&submit(
            " --patchwork https://patchwork.example.org/ --patch 77",
        ));
        let named = body.unwrap().patchwork.unwrap();
        let named = (named.url.as_str(), named.patch);
        assert_eq!(named, ("https://patchwork.example.org/", 77));
        for half in ["--patchwork https://patchwork.example.org/", "--patch 77"] {
            let line = format!("firstbad submit --tree t --good a --bad b --suite s {half}");
            assert!(Cli::try_parse_from(line.split(' ')).is_err(), "{half}");
        }
    }

    #[test]
    fn files_are_read_and_missing_ones_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("frag");
        std::fs::write(&file, "CONFIG_X=y\n").unwrap();
        let path = file.display();
        let body = request(&submit(&format!(" --fragment {path} --config {path}"))).unwrap();
        assert_eq!(body.config.fragment, "CONFIG_X=y\n");
        assert_eq!(
            body.config.base,
            Some(ConfigBase::File("CONFIG_X=y\n".into()))
        );
        let fail = request(&submit(&format!(" --fixup {path} {path}.no"))).unwrap_err();
        assert_eq!(fail.code(), 66);
        assert!(fail.to_string().contains("frag.no"));
    }
}
