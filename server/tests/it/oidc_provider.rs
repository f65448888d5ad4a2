//! A fake identity provider: it plays right and wrong answers.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256, RsaPublicKeyComponents};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Json, Redirect, Response};
use axum::routing::{get, post};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use firstbad_server::oidc::{OidcConfig, Secret};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

pub const CLIENT: &str = "firstbad";
/// With signs that have to be coded.
pub const SECRET: &str = "s:e c/r+e%t";

/// How a token is signed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Signed {
    Well,
    /// `alg` is `none`, and there is no signature.
    Not,
    /// With a key of somebody else, under the name of the right one.
    ByAnother,
    /// By HMAC with this text, which is known to both or to all.
    Hmac(&'static str),
}

/// What it does.
pub struct Plays {
    /// It answers nothing but 503.
    pub down: bool,
    /// What the ID token says besides the usual; null takes a claim away.
    pub claims: Map<String, Value>,
    pub signed: Signed,
    /// What it says it is, if not itself.
    pub issuer: Option<String>,
    /// Answers instead of a token.
    pub token_answer: Option<(StatusCode, String)>,
    /// Which of its keys signs, and which ones it publishes.
    pub key: usize,
    pub published: Vec<usize>,
    /// Requests for tokens so far.
    pub tokens: usize,
    codes: HashMap<String, HashMap<String, String>>,
}

pub struct FakeProvider {
    pub url: String,
    keys: Vec<KeyPair>,
    plays: Mutex<Plays>,
}

impl FakeProvider {
    pub async fn start() -> Arc<FakeProvider> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let key = || KeyPair::generate(KeySize::Rsa2048).unwrap();
        let provider = Arc::new(FakeProvider {
            url: format!("http://{}", listener.local_addr().unwrap()),
            keys: vec![key(), key()],
            plays: Mutex::new(Plays {
                down: false,
                claims: Map::new(),
                signed: Signed::Well,
                issuer: None,
                token_answer: None,
                key: 0,
                published: vec![0],
                tokens: 0,
                codes: HashMap::new(),
            }),
        });
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(describe))
            .route("/authorize", get(authorise))
            .route("/token", post(token))
            .route("/keys", get(keys))
            .with_state(provider.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        provider
    }

    pub fn plays(&self) -> MutexGuard<'_, Plays> {
        self.plays.lock().unwrap()
    }

    /// The usual, for somebody with these claims.
    pub fn somebody(&self, claims: Value) {
        let mut plays = self.plays();
        plays.claims = claims.as_object().cloned().unwrap();
    }

    pub fn config(&self) -> OidcConfig {
        OidcConfig {
            issuer: self.url.clone(),
            client_id: CLIENT.to_owned(),
            secret: Some(Secret(SECRET.to_owned())),
            name: "Kernel SSO".to_owned(),
            scopes: vec!["profile".to_owned()],
            role: Some(firstbad_server::access::Role::Viewer),
            claim: None,
            map: vec![],
        }
    }

    fn id_token(&self, plays: &Plays, nonce: &str) -> String {
        let now = now_s();
        let mut claims = json!({
            "iss": self.url, "sub": "1", "aud": CLIENT, "exp": now + 300, "iat": now,
            "nonce": nonce, "preferred_username": "alice",
        });
        for (name, value) in &plays.claims {
            claims[name] = value.clone();
        }
        if let Some(map) = claims.as_object_mut() {
            map.retain(|_, value| !value.is_null());
        }
        let kid = format!("key {}", plays.key);
        let header = match plays.signed {
            Signed::Well | Signed::ByAnother => json!({ "alg": "RS256", "kid": kid }),
            Signed::Not => json!({ "alg": "none" }),
            Signed::Hmac(_) => json!({ "alg": "HS256", "kid": kid }),
        };
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(&header), part(&claims));
        let rsa = |key: &KeyPair| {
            let mut signature = vec![0; key.public_modulus_len()];
            let random = SystemRandom::new();
            key.sign(
                &RSA_PKCS1_SHA256,
                &random,
                message.as_bytes(),
                &mut signature,
            )
            .unwrap();
            signature
        };
        let signature = match plays.signed {
            Signed::Well => rsa(&self.keys[plays.key]),
            Signed::ByAnother => rsa(&self.keys[1 - plays.key]),
            Signed::Not => vec![],
            Signed::Hmac(secret) => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
                hmac::sign(&key, message.as_bytes()).as_ref().to_vec()
            }
        };
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

fn now_s() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.unwrap().as_secs()
}

type Provider = State<Arc<FakeProvider>>;

fn away() -> Response {
    StatusCode::SERVICE_UNAVAILABLE.into_response()
}

async fn describe(State(provider): Provider) -> Response {
    let plays = provider.plays();
    if plays.down {
        return away();
    }
    let url = &provider.url;
    Json(json!({
        "issuer": plays.issuer.as_ref().unwrap_or(url),
        "authorization_endpoint": format!("{url}/authorize?tenant=7"),
        "token_endpoint": format!("{url}/token"),
        "jwks_uri": format!("{url}/keys"),
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
    }))
    .into_response()
}

async fn keys(State(provider): Provider) -> Response {
    let plays = provider.plays();
    if plays.down {
        return away();
    }
    let key = |n: &usize| {
        let public = provider.keys[*n].public_key();
        let parts: RsaPublicKeyComponents<Vec<u8>> = public.into();
        let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        json!({
            "kty": "RSA", "kid": format!("key {n}"), "use": "sig", "alg": "RS256",
            "n": part(&parts.n), "e": part(&parts.e),
        })
    };
    let mut keys: Vec<Value> = plays.published.iter().map(key).collect();
    keys.push(json!({ "kty": "from the future", "kid": "x" }));
    Json(json!({ "keys": keys })).into_response()
}

/// Signs in at once, whoever it is.
async fn authorise(
    State(provider): Provider,
    Query(asked): Query<HashMap<String, String>>,
) -> Response {
    assert_eq!(asked["response_type"], "code");
    assert_eq!(asked["client_id"], CLIENT);
    assert_eq!(asked["scope"], "openid profile");
    assert_eq!(asked["code_challenge_method"], "S256");
    assert_eq!(asked["tenant"], "7");
    let back = &asked["redirect_uri"];
    let mut plays = provider.plays();
    let code = format!("code-{}", plays.codes.len() + plays.tokens);
    let query = form_urlencoded::Serializer::new(String::new())
        .extend_pairs([("code", &code), ("state", &asked["state"])])
        .finish();
    let to = format!("{back}?{query}");
    plays.codes.insert(code, asked);
    Redirect::to(&to).into_response()
}

async fn token(State(provider): Provider, headers: HeaderMap, body: Bytes) -> Response {
    let mut plays = provider.plays();
    plays.tokens += 1;
    if plays.down {
        return away();
    }
    if let Some((status, text)) = plays.token_answer.clone() {
        return (status, text).into_response();
    }
    let coded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let basic = STANDARD.encode(format!("{}:{}", coded(CLIENT), coded(SECRET)));
    assert_eq!(headers[header::AUTHORIZATION], format!("Basic {basic}"));
    let form: HashMap<String, String> = form_urlencoded::parse(&body).into_owned().collect();
    let refused = (
        StatusCode::BAD_REQUEST,
        Json(json!({ "error": "invalid_grant" })),
    );
    let Some(asked) = plays.codes.remove(&form["code"]) else {
        return refused.into_response();
    };
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(&form["code_verifier"]));
    let same = asked["code_challenge"] == challenge
        && asked["redirect_uri"] == form["redirect_uri"]
        && form["grant_type"] == "authorization_code";
    if !same {
        return refused.into_response();
    }
    let id_token = provider.id_token(&plays, &asked["nonce"]);
    let answer = json!({ "access_token": "x", "token_type": "Bearer", "id_token": id_token });
    Json(answer).into_response()
}
