//! Options of the server for signing in with an identity provider.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use firstbad_api::user::Role;
use firstbad_server::oidc::{OidcConfig, Secret};
use url::Url;

use crate::fail::Fail;
use crate::input;
use crate::user::Named;

/// Where the client's secret is when there is no file.
const SECRET: &str = "FIRSTBAD_OIDC_SECRET";
const SECRET_BYTES: usize = 4096;

/// OpenID Connect, code flow. The provider sends people back to URL/login/oidc/callback.
#[derive(Debug, Clone, Args)]
pub struct OidcArgs {
    /// People may sign in with this identity provider (OpenID Connect), too: its issuer, to the letter.
    #[arg(long, env = "FIRSTBAD_OIDC_ISSUER", value_name = "URL", value_parser = issuer,
          requires_all = ["oidc_client_id", "url"])]
    pub oidc_issuer: Option<String>,
    /// As what this server is registered there.
    #[arg(
        long,
        env = "FIRSTBAD_OIDC_CLIENT_ID",
        value_name = "ID",
        requires = "oidc_issuer"
    )]
    pub oidc_client_id: Option<String>,
    /// File with the client's secret [default: $FIRSTBAD_OIDC_SECRET; without one the server is a
    /// public client].
    #[arg(
        long,
        env = "FIRSTBAD_OIDC_SECRET_FILE",
        value_name = "FILE",
        requires = "oidc_issuer"
    )]
    pub oidc_secret_file: Option<PathBuf>,
    /// What people call it.
    #[arg(
        long,
        env = "FIRSTBAD_OIDC_NAME",
        value_name = "NAME",
        default_value = "SSO"
    )]
    pub oidc_name: String,
    /// What it is asked for besides `openid`.
    #[arg(
        long,
        env = "FIRSTBAD_OIDC_SCOPE",
        value_name = "SCOPE",
        value_delimiter = ',',
        default_value = "profile"
    )]
    pub oidc_scope: Vec<String>,
    /// What somebody may do at first, or who is in none of the groups of --oidc-map.
    #[arg(long, env = "FIRSTBAD_OIDC_ROLE", value_enum, default_value_t = First::Viewer)]
    pub oidc_role: First,
    /// The claim that names somebody's groups. With it the role is set at each sign-in.
    #[arg(
        long,
        env = "FIRSTBAD_OIDC_CLAIM",
        value_name = "CLAIM",
        requires = "oidc_map"
    )]
    pub oidc_claim: Option<String>,
    /// What the members of a group may do; the highest role counts.
    #[arg(long, env = "FIRSTBAD_OIDC_MAP", value_name = "GROUP=ROLE", value_parser = mapped,
          value_delimiter = ',', requires = "oidc_claim")]
    pub oidc_map: Vec<(String, Role)>,
}

/// The role of who is in no mapped group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum First {
    Viewer,
    Submitter,
    Operator,
    Admin,
    /// They are not let in.
    None,
}

impl First {
    fn role(self) -> Option<Role> {
        match self {
            First::Viewer => Some(Role::Viewer),
            First::Submitter => Some(Role::Submitter),
            First::Operator => Some(Role::Operator),
            First::Admin => Some(Role::Admin),
            First::None => None,
        }
    }
}

impl OidcArgs {
    /// How the server is told of it.
    ///
    /// # Errors
    /// When the file of the secret cannot be read.
    pub fn config(&self) -> Result<Option<OidcConfig>, Fail> {
        let (Some(issuer), Some(client_id)) = (&self.oidc_issuer, &self.oidc_client_id) else {
            return Ok(None);
        };
        let secret = match &self.oidc_secret_file {
            Some(file) => input::text(file, SECRET_BYTES)?,
            None => std::env::var(SECRET).unwrap_or_default(),
        };
        let secret = secret.trim();
        Ok(Some(OidcConfig {
            issuer: issuer.clone(),
            client_id: client_id.clone(),
            secret: (!secret.is_empty()).then(|| Secret(secret.to_owned())),
            name: self.oidc_name.clone(),
            scopes: self.oidc_scope.clone(),
            role: self.oidc_role.role(),
            claim: self.oidc_claim.clone(),
            map: self.oidc_map.clone(),
        }))
    }

    /// The same as words, for a server that is started with them; a secret of the environment is not
    /// among them.
    pub fn words(&self) -> Vec<String> {
        let role = self.oidc_role.to_possible_value();
        let role = role.map(|r| r.get_name().to_owned());
        let map = self.oidc_map.iter();
        let map: Vec<String> = map.map(|(g, r)| format!("{g}={}", r.as_str())).collect();
        let file = self.oidc_secret_file.as_ref();
        let pairs = [
            ("--oidc-issuer", self.oidc_issuer.clone()),
            ("--oidc-client-id", self.oidc_client_id.clone()),
            ("--oidc-secret-file", file.map(|f| f.display().to_string())),
            ("--oidc-name", Some(self.oidc_name.clone())),
            ("--oidc-scope", Some(self.oidc_scope.join(","))),
            ("--oidc-role", role),
            ("--oidc-claim", self.oidc_claim.clone()),
            ("--oidc-map", (!map.is_empty()).then(|| map.join(","))),
        ];
        let given = pairs.into_iter().filter_map(|(flag, v)| Some((flag, v?)));
        match self.oidc_issuer {
            Some(_) => given.flat_map(|(flag, v)| [flag.to_owned(), v]).collect(),
            None => vec![],
        }
    }
}

/// Over TLS, or on this machine.
fn issuer(text: &str) -> Result<String, String> {
    let url = Url::parse(text).map_err(|e| format!("{text:?} is no address: {e}"))?;
    let local = match url.host() {
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    };
    let plain = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    match url.scheme() {
        "https" if plain => Ok(text.to_owned()),
        "http" if plain && local => Ok(text.to_owned()),
        _ => Err("use https://HOST or https://HOST/PATH, as the provider writes it".to_owned()),
    }
}

fn mapped(text: &str) -> Result<(String, Role), String> {
    // A group may have a `=` in its name, a role has none.
    let (group, role) = text.rsplit_once('=').unwrap_or_default();
    match (group.is_empty(), Named::from_str(role, false)) {
        (false, Ok(role)) => Ok((group.to_owned(), role.into())),
        _ => Err("use GROUP=ROLE, with viewer, submitter, operator or admin".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Cli, Command};

    const FULL: &str = "--url https://b.example --oidc-issuer https://id.example/realm \
                        --oidc-client-id firstbad --oidc-claim groups \
                        --oidc-map kernel=submitter,cn=root=admin --oidc-role none";

    fn parse(more: &str) -> Result<OidcArgs, clap::Error> {
        let words = format!("firstbad server --data d {more}");
        match Cli::try_parse_from(words.split_whitespace())?.command {
            Command::Server(args) => Ok(args.oidc),
            _ => panic!("not server"),
        }
    }

    #[test]
    fn what_is_said_reaches_the_server_that_up_starts() {
        let first = parse(FULL).unwrap();
        let again = format!("--url https://b.example {}", first.words().join(" "));
        let (first, again) = (first.config(), parse(&again).unwrap().config());
        let first = first.unwrap().unwrap();
        assert_eq!(
            format!("{first:?}"),
            format!("{:?}", again.unwrap().unwrap())
        );
        assert_eq!(first.map[1], ("cn=root".to_owned(), Role::Admin));
        assert_eq!(first.role, None);
        assert!(parse("").unwrap().words().is_empty());
    }

    #[test]
    fn what_cannot_work_is_refused() {
        for wrong in [
            "--oidc-issuer https://id.example --oidc-client-id x",
            "--url https://b.example --oidc-issuer https://id.example",
            "--url https://b.example --oidc-client-id x",
            "--url https://b.example --oidc-issuer http://id.example --oidc-client-id x",
            "--url https://b.example --oidc-issuer id.example --oidc-client-id x",
            &FULL.replace("=submitter", "=king"),
            &FULL.replace("--oidc-claim groups", ""),
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
        let local = "--url http://127.0.0.1:8610 --oidc-client-id x";
        assert!(parse(&format!("{local} --oidc-issuer http://127.0.0.1:9000/")).is_ok());
    }
}
