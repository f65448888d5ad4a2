//! `tree`: the repositories the server mirrors.

use firstbad_api::job::JobConfig;
use firstbad_api::rule::Schedule;
use firstbad_api::tree::{NewTree, Tree};
use reqwest::Method;

use crate::args::{AddArgs, Common, TreeCommand};
use crate::client::{Client, segment};
use crate::fail::{Done, Fail};
use crate::{presets, show, text};

pub async fn run(common: &Common, command: &TreeCommand) -> Done {
    let client = Client::new(common, None)?;
    match command {
        TreeCommand::Add(args) => {
            let body = new(args)?;
            let tree: Tree = client.post("/api/v1/trees", &body, &[]).await?;
            if let Some(error) = &tree.fetch_error {
                return Err(Fail::Data(format!("url: {}", text::line(error))));
            }
            if args.json {
                return show::json(&tree);
            }
            println!("{}: {} refs", text::line(&tree.name), tree.refs);
            if tree.config != JobConfig::default() {
                println!("{}", show::configured(&tree.config));
            }
        }
        TreeCommand::List { json } => {
            let trees: Vec<Tree> = client.get("/api/v1/trees").await?;
            if *json {
                return show::json(&trees);
            }
            println!("{}", show::trees(&trees));
        }
        TreeCommand::Fetch { name } => {
            let path = format!("/api/v1/trees/{}/fetch", segment(name));
            client.call(Method::POST, &path).await?;
            println!("{}: fetched", text::line(name));
        }
        TreeCommand::Schedule { name, minutes } => {
            let path = format!("/api/v1/trees/{}/schedule", segment(name));
            let body = Schedule {
                minutes: (*minutes > 0).then_some(*minutes),
            };
            client.put(Method::PUT, &path, &body).await?;
            match minutes {
                0 => println!("{}: fetched when somebody asks", text::line(name)),
                n => println!("{}: fetched every {n} minutes", text::line(name)),
            }
        }
        TreeCommand::Remove { name } => {
            let path = format!("/api/v1/trees/{}", segment(name));
            client.call(Method::DELETE, &path).await?;
            println!("{}: removed", text::line(name));
        }
    }
    Ok(0)
}

/// What is asked for, with what a preset says.
fn new(args: &AddArgs) -> Result<NewTree, Fail> {
    let preset = args.preset.as_deref().and_then(presets::get);
    let said = |word: &Option<String>, known: fn(&presets::Preset) -> &String| {
        let word = word.as_ref().or(preset.map(known));
        word.cloned().unwrap_or_default()
    };
    Ok(NewTree {
        name: said(&args.name, |p| &p.name),
        url: said(&args.url, |p| &p.url),
        config: match preset {
            Some(preset) => preset.config(),
            None => args.config.read()?,
        },
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use firstbad_api::lease::ConfigBase;

    use super::*;
    use crate::args::{Cli, Command};

    fn asked(more: &str) -> NewTree {
        let line = format!("firstbad tree add {more}");
        match Cli::try_parse_from(line.split(' ')).unwrap().command {
            Command::Tree(TreeCommand::Add(args)) => new(&args).unwrap(),
            _ => panic!("not tree add"),
        }
    }

    #[test]
    fn a_preset_gives_what_is_not_said() {
        let tree = asked("--preset wsl2");
        assert_eq!(tree.name, "wsl2");
        assert!(tree.url.starts_with("https://github.com/microsoft/"));
        let base = Some(ConfigBase::Tree("Microsoft/config-wsl".to_owned()));
        assert_eq!(tree.config.base, base);
        let mine = asked("mine /srv/wsl.git --preset wsl2");
        assert_eq!(
            (mine.name.as_str(), mine.url.as_str()),
            ("mine", "/srv/wsl.git")
        );
        assert_eq!(mine.config, tree.config);
        assert_eq!(
            asked("a /b --base defconfig").config.base,
            Some(ConfigBase::X8664Defconfig)
        );
    }
}
