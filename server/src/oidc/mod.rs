//! Signing in with an identity provider: OpenID Connect, code flow with PKCE, state and nonce.
//!
//! Owns what is asked of the provider and what of its answer is believed. Must not know: Postgres,
//! pages. State, nonce and verifier are made from the secret in the browser's cookie, so nothing of a
//! sign-in under way has to be kept secret here.

mod person;
mod provider;
mod token;

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use firstbad_api::user::Role;
use reqwest::Url;
use sha2::{Digest, Sha256};

use provider::Link;
use token::Expected;

/// Path that the provider sends people back to.
pub const CALLBACK: &str = "/login/oidc/callback";

/// A secret that no log shows.
#[derive(Clone)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// How the operator says it.
#[derive(Debug, Clone)]
pub struct OidcConfig {
    /// As the provider writes it, to the letter.
    pub issuer: String,
    pub client_id: String,
    /// None: a public client, which PKCE alone protects.
    pub secret: Option<Secret>,
    /// What people call the provider.
    pub name: String,
    /// What is asked for besides `openid`.
    pub scopes: Vec<String>,
    /// Of who is in no mapped group; none: they are not let in.
    pub role: Option<Role>,
    /// The claim that names groups; with it the role is set at each sign-in.
    pub claim: Option<String>,
    pub map: Vec<(String, Role)>,
}

/// Why somebody is not signed in.
#[derive(Debug)]
pub enum Wrong {
    /// No answer, and why, for the log.
    Away(String),
    /// An answer that is not believed; the end of a sentence about the provider.
    Untrusted(&'static str),
}

/// Who signed in.
#[derive(Debug)]
pub struct Person {
    pub subject: String,
    /// Names for a new account, in the order in which they are tried.
    pub names: [String; 2],
    /// What a new account may do, and an old one too when roles are mapped; none: it is not let in.
    pub role: Option<Role>,
}

/// An identity provider that people may sign in with.
pub struct Oidc {
    config: OidcConfig,
    callback: String,
    link: Link,
}

impl Oidc {
    /// `url`: the address of this server as people know it.
    ///
    /// # Errors
    /// When there is no TLS on this machine.
    pub fn new(config: OidcConfig, url: &str) -> reqwest::Result<Oidc> {
        Ok(Oidc {
            link: Link::new(&config.issuer)?,
            callback: format!("{url}{CALLBACK}"),
            config,
        })
    }

    pub fn name(&self) -> &str {
        &self.config.name
    }

    pub fn issuer(&self) -> &str {
        &self.config.issuer
    }

    /// Roles come from the provider, so that those set by hand do not last.
    pub fn maps_roles(&self) -> bool {
        self.config.claim.is_some()
    }

    /// Where a browser goes to sign in. `secret` is the one in its cookie.
    ///
    /// # Errors
    /// When the provider does not answer.
    pub async fn begin(&self, secret: &str) -> Result<Url, Wrong> {
        let description = self.link.description(&self.config).await?;
        let mut scope = vec!["openid"];
        scope.extend(self.config.scopes.iter().map(String::as_str));
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(derived(secret, "verifier")));
        let mut url = description.sign_in()?;
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.config.client_id)
            .append_pair("redirect_uri", &self.callback)
            .append_pair("scope", &scope.join(" "))
            .append_pair("state", &state(secret))
            .append_pair("nonce", &derived(secret, "nonce"))
            .append_pair("code_challenge", &challenge)
            .append_pair("code_challenge_method", "S256");
        Ok(url)
    }

    /// Who came back with this code.
    ///
    /// # Errors
    /// When the provider does not answer, or not with what proves who it is.
    pub async fn finish(&self, secret: &str, code: &str) -> Result<Person, Wrong> {
        let config = &self.config;
        let verifier = derived(secret, "verifier");
        let text = self
            .link
            .token(config, &self.callback, code, &verifier)
            .await?;
        let header = token::header(&text).map_err(Wrong::Untrusted)?;
        let key = self.link.key(config, &header).await?;
        let nonce = derived(secret, "nonce");
        let expected = Expected {
            issuer: &config.issuer,
            client_id: &config.client_id,
            nonce: &nonce,
        };
        let claims = token::claims(&text, &header, &key, expected).map_err(Wrong::Untrusted)?;
        let (subject, rest) = (claims.sub, claims.rest);
        Ok(Person {
            names: person::names(&rest, &config.issuer, &subject, &config.name),
            role: person::role(&rest, config.claim.as_deref(), &config.map, config.role),
            subject,
        })
    }
}

/// What comes back with a browser that went with this secret.
pub fn state(secret: &str) -> String {
    derived(secret, "state")
}

/// Text of 256 bits that tells nothing of the secret.
fn derived(secret: &str, what: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(format!("{what} of {secret}")))
}
