//! An identity provider as it is reached: its description, its keys, and the code that becomes a token.
//!
//! The description and the keys are kept for a while, so that a provider that is away for some minutes
//! is not missed. Its address is the operator's choice, so it may be anywhere.

use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use firstbad_api::limits;
use jsonwebtoken::Header;
use jsonwebtoken::jwk::Jwk;
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, StatusCode, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::Mutex;

use super::{OidcConfig, Wrong, token};

/// What is kept is asked for again after this.
const FRESH: Duration = Duration::from_secs(3600);
/// When that fails, it is still used for so long.
const STALE: Duration = Duration::from_secs(24 * 3600);
/// A provider that did not answer is left alone for so long.
const PAUSE: Duration = Duration::from_secs(3);
/// Most that is read of an answer, bytes.
const ANSWER: usize = 1 << 20;

/// `/.well-known/openid-configuration`, as far as it is needed (OpenID Connect Discovery 1.0, 3).
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Description {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
    #[serde(default)]
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
}

impl Description {
    /// Address at which people sign in.
    pub fn sign_in(&self) -> Result<Url, Wrong> {
        let url = Url::parse(&self.authorization_endpoint);
        url.map_err(|_| Wrong::Untrusted("the address it signs people in at is none"))
    }
}

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<Value>,
}

/// Answer of the token endpoint; the access token is of no use to us.
#[derive(Deserialize)]
struct Tokens {
    id_token: String,
}

/// What is known of the provider.
#[derive(Default)]
struct Known {
    description: Option<(Instant, Description)>,
    keys: Option<(Instant, Vec<Jwk>)>,
    failed: Option<Instant>,
}

/// The way to the provider.
pub(super) struct Link {
    http: Client,
    known: Mutex<Known>,
}

impl Link {
    /// # Errors
    /// When there is no TLS on this machine.
    pub fn new(issuer: &str) -> reqwest::Result<Link> {
        let timeout = Duration::from_secs(limits::OIDC_TIMEOUT_S);
        let http = Client::builder()
            .redirect(Policy::none())
            .user_agent(concat!("firstbad/", env!("CARGO_PKG_VERSION")))
            // What it describes itself with cannot lead to plain HTTP.
            .https_only(issuer.starts_with("https://"))
            .connect_timeout(timeout / 2)
            .timeout(timeout)
            .build()?;
        Ok(Link {
            http,
            known: Mutex::default(),
        })
    }

    /// How the provider describes itself.
    pub async fn description(&self, config: &OidcConfig) -> Result<Description, Wrong> {
        let mut known = self.known.lock().await;
        let kept = known.description.clone();
        let age = kept.as_ref().map(|(at, _)| at.elapsed());
        if let (Some((_, description)), Some(true)) = (&kept, age.map(|a| a < FRESH)) {
            return Ok(description.clone());
        }
        let waits = known.failed.is_some_and(|at| at.elapsed() < PAUSE);
        let asked = match waits {
            true => Err(Wrong::Away("it did not answer a moment ago".to_owned())),
            false => self.describe(config).await,
        };
        match (asked, kept, age) {
            (Ok(description), ..) => {
                known.failed = None;
                known.description = Some((Instant::now(), description.clone()));
                Ok(description)
            }
            (Err(_), Some((_, description)), Some(age)) if age < STALE => Ok(description),
            (Err(wrong), ..) => {
                if !waits {
                    known.failed = Some(Instant::now());
                }
                Err(wrong)
            }
        }
    }

    async fn describe(&self, config: &OidcConfig) -> Result<Description, Wrong> {
        let base = config.issuer.trim_end_matches('/');
        let url = format!("{base}/.well-known/openid-configuration");
        let description: Description = self.read(self.http.get(url)).await?;
        if description.issuer != config.issuer {
            return Err(Wrong::Untrusted(
                "it describes itself as another issuer than the one that is configured",
            ));
        }
        // The browser's part of it; ours is held to this by the client.
        let at = description.sign_in()?;
        let scheme = at.scheme();
        match scheme == "https" || (scheme == "http" && config.issuer.starts_with("http://")) {
            true => Ok(description),
            false => Err(Wrong::Untrusted("it signs people in without TLS")),
        }
    }

    /// The key that this header names; keys are asked for again when it is a new one.
    pub async fn key(&self, config: &OidcConfig, header: &Header) -> Result<Jwk, Wrong> {
        let description = self.description(config).await?;
        let mut known = self.known.lock().await;
        let fresh = known.keys.as_ref().filter(|(at, _)| at.elapsed() < FRESH);
        if let Some(key) = fresh.and_then(|(_, keys)| token::key(header, keys)) {
            return Ok(key.clone());
        }
        let set: KeySet = self.read(self.http.get(description.jwks_uri)).await?;
        // One of a kind that is unknown here does not make the others useless.
        let keys = set.keys.into_iter();
        let keys: Vec<Jwk> = keys
            .filter_map(|k| serde_json::from_value(k).ok())
            .collect();
        let found = token::key(header, &keys).cloned();
        known.keys = Some((Instant::now(), keys));
        found.ok_or(Wrong::Untrusted("its token is signed with an unknown key"))
    }

    /// The ID token for a code.
    pub async fn token(
        &self,
        config: &OidcConfig,
        callback: &str,
        code: &str,
        verifier: &str,
    ) -> Result<String, Wrong> {
        let description = self.description(config).await?;
        let methods = description.token_endpoint_auth_methods_supported;
        // Basic is what the standard means when nothing is said.
        let basic = methods.is_none_or(|m| m.iter().any(|m| m == "client_secret_basic"));
        let id = ("client_id", config.client_id.as_str());
        let mut fields = vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", callback),
            ("code_verifier", verifier),
        ];
        let mut asked = self.http.post(description.token_endpoint);
        match &config.secret {
            Some(secret) if basic => {
                asked = asked.header("authorization", credentials(&config.client_id, &secret.0));
            }
            Some(secret) => fields.extend([id, ("client_secret", &secret.0)]),
            None => fields.push(id),
        }
        let form = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(fields)
            .finish();
        let asked = asked
            .header("content-type", "application/x-www-form-urlencoded")
            .header("accept", "application/json")
            .body(form);
        Ok(self.read::<Tokens>(asked).await?.id_token)
    }

    /// Sends a request and reads JSON.
    async fn read<T: DeserializeOwned>(&self, asked: RequestBuilder) -> Result<T, Wrong> {
        let away = |e: reqwest::Error| Wrong::Away(e.without_url().to_string());
        let mut answer = asked.send().await.map_err(away)?;
        let status = answer.status();
        if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            return Err(Wrong::Away(format!("it answered {status}")));
        }
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(away)? {
            body.extend_from_slice(&chunk);
            if body.len() > ANSWER {
                return Err(Wrong::Untrusted("its answer is too long"));
            }
        }
        if !status.is_success() {
            tracing::warn!(%status, "the identity provider refused a request");
            return Err(Wrong::Untrusted(
                "it refused what this server asked it; the server's log has its answer",
            ));
        }
        serde_json::from_slice(&body).map_err(|_| {
            Wrong::Untrusted("its answer is not of the form that the standard asks for")
        })
    }
}

/// `Authorization: Basic`, with both parts coded first (RFC 6749, 2.3.1).
fn credentials(id: &str, secret: &str) -> String {
    let coded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let pair = format!("{}:{}", coded(id), coded(secret));
    format!("Basic {}", STANDARD.encode(pair))
}
