//! `tree`: the repositories the server mirrors.

use firstbad_api::tree::{NewTree, Tree};
use reqwest::Method;

use crate::args::{Common, TreeCommand};
use crate::client::{Client, segment};
use crate::fail::{Done, Fail};
use crate::{show, text};

pub async fn run(common: &Common, command: &TreeCommand) -> Done {
    let client = Client::new(common, None)?;
    match command {
        TreeCommand::Add { name, url, json } => {
            let body = NewTree {
                name: name.clone(),
                url: url.clone(),
            };
            let tree: Tree = client.post("/api/v1/trees", &body, &[]).await?;
            if let Some(error) = &tree.fetch_error {
                return Err(Fail::Data(format!("url: {}", text::line(error))));
            }
            if *json {
                return show::json(&tree);
            }
            println!("{}: {} refs", text::line(&tree.name), tree.refs);
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
        TreeCommand::Remove { name } => {
            let path = format!("/api/v1/trees/{}", segment(name));
            client.call(Method::DELETE, &path).await?;
            println!("{}: removed", text::line(name));
        }
    }
    Ok(0)
}
