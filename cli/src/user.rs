//! `user`: accounts of people. A password is asked for, or read from standard input; it is never an
//! argument, which other users of the machine could read.

use std::io::{IsTerminal, Write};

use clap::{Subcommand, ValueEnum};
use firstbad_api::user::{NewUser, Role, User, UserChange};
use reqwest::Method;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use crate::args::Common;
use crate::client::{Client, segment};
use crate::fail::{Done, Fail};
use crate::{input, show, text};

/// More than any password, bytes.
const PASSWORD_BYTES: usize = 4096;

#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// Make an account; asks for its password, or reads it from standard input.
    Add {
        name: String,
        #[arg(long, value_enum)]
        role: Named,
    },
    /// List the accounts.
    List {
        /// Print what the server answers.
        #[arg(long)]
        json: bool,
    },
    /// Change what an account may do; that counts at once.
    Role {
        name: String,
        #[arg(value_enum)]
        role: Named,
    },
    /// Give an account another password; its sessions end.
    Password { name: String },
    /// Let an account do nothing any more; its sessions end.
    Disable { name: String },
    /// Take that back.
    Enable { name: String },
}

/// What somebody may do; each may do all that those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Named {
    /// Reads.
    Viewer,
    /// Submits, and acts on jobs of its own.
    Submitter,
    /// Acts on all jobs, sees private ones, manages trees.
    Operator,
    /// Manages accounts.
    Admin,
}

impl From<Named> for Role {
    fn from(named: Named) -> Role {
        match named {
            Named::Viewer => Role::Viewer,
            Named::Submitter => Role::Submitter,
            Named::Operator => Role::Operator,
            Named::Admin => Role::Admin,
        }
    }
}

pub async fn run(common: &Common, command: &UserCommand) -> Done {
    let client = Client::new(common, None)?;
    let change = match command {
        UserCommand::List { json } => return list(&client, *json).await,
        UserCommand::Add { name, role } => {
            let new = NewUser {
                name: name.clone(),
                role: (*role).into(),
                password: password()?,
            };
            client.put(Method::POST, "/api/v1/users", &new).await?;
            println!("{} is a {}", text::line(name), new.role.as_str());
            return Ok(0);
        }
        UserCommand::Role { name, role } => {
            let role = Some((*role).into());
            (
                name,
                UserChange {
                    role,
                    ..UserChange::default()
                },
                "has another role",
            )
        }
        UserCommand::Password { name } => {
            let password = Some(password()?);
            (
                name,
                UserChange {
                    password,
                    ..UserChange::default()
                },
                "has another password",
            )
        }
        UserCommand::Disable { name } => (name, able(false), "is disabled"),
        UserCommand::Enable { name } => (name, able(true), "is enabled"),
    };
    let (name, change, said) = change;
    let path = format!("/api/v1/users/{}", segment(name));
    client.put(Method::PATCH, &path, &change).await?;
    println!("{} {said}", text::line(name));
    Ok(0)
}

fn able(able: bool) -> UserChange {
    UserChange {
        disabled: Some(!able),
        ..UserChange::default()
    }
}

async fn list(client: &Client, json: bool) -> Done {
    let users: Vec<User> = client.get("/api/v1/users").await?;
    if json {
        return show::json(&users);
    }
    for user in users {
        let state = match (user.disabled, &user.seen_at) {
            (true, _) => "disabled".to_owned(),
            (false, Some(at)) => format!("seen {at}"),
            (false, None) => "not signed in".to_owned(),
        };
        println!("{:<20}  {:<9}  {state}", text::line(&user.name), user.role);
    }
    Ok(0)
}

/// Asked for twice on a terminal, else the first line of standard input.
fn password() -> Result<String, Fail> {
    if !std::io::stdin().is_terminal() {
        let all = input::standard(PASSWORD_BYTES)?;
        return Ok(all.lines().next().unwrap_or_default().to_owned());
    }
    let first = ask("Password: ")?;
    match ask("The same again: ")? == first {
        true => Ok(first),
        false => Err(Fail::Usage("the two passwords differ".to_owned())),
    }
}

/// Reads a line without showing it.
fn ask(prompt: &str) -> Result<String, Fail> {
    let failed = |e: std::io::Error| Fail::NoInput(format!("cannot read from the terminal: {e}"));
    eprint!("{prompt}");
    std::io::stderr().flush().map_err(failed)?;
    let stdin = std::io::stdin();
    let before: Termios = tcgetattr(&stdin).map_err(|e| failed(e.into()))?;
    let mut silent = before.clone();
    silent.local_modes -= LocalModes::ECHO;
    tcsetattr(&stdin, OptionalActions::Flush, &silent).map_err(|e| failed(e.into()))?;
    let mut line = String::new();
    let read = stdin.read_line(&mut line);
    let restored = tcsetattr(&stdin, OptionalActions::Flush, &before);
    eprintln!();
    read.map_err(failed)?;
    restored.map_err(|e| failed(e.into()))?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}
