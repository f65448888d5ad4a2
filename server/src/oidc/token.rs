//! What an ID token has to be before it is believed. Pure.
//!
//! Source: OpenID Connect Core 1.0, 3.1.3.7, and RFC 8725 on algorithms.

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::jwk::{Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{AlgorithmFamily, DecodingKey, Header, Validation, decode, decode_header};
use serde::Deserialize;
use serde_json::{Map, Value};

/// Clocks may differ by this much, seconds.
const LEEWAY_S: u64 = 60;
/// Longest subject, bytes; the standard says 255.
const SUBJECT: usize = 255;

/// What a token is held against.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    pub issuer: &'a str,
    pub client_id: &'a str,
    pub nonce: &'a str,
}

/// What a token says that is believed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Claims {
    iss: String,
    /// Who signed in; never given to anybody else by this issuer.
    pub sub: String,
    aud: Audience,
    #[serde(default)]
    azp: Option<String>,
    #[serde(default)]
    nonce: Option<String>,
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

/// The header of a token.
///
/// # Errors
/// When it is none, or signed in a way that proves nothing: not at all, or with a shared secret.
pub fn header(token: &str) -> Result<Header, &'static str> {
    let header = decode_header(token).map_err(|_| "its token is not signed as it should be")?;
    match header.alg.family() {
        AlgorithmFamily::Hmac => Err("its token is not signed with a key of its own"),
        _ => Ok(header),
    }
}

/// The key of this header: the one it names, or the only one that fits.
pub fn key<'a>(header: &Header, keys: &'a [Jwk]) -> Option<&'a Jwk> {
    let mut fitting = keys.iter().filter(|key| fits(header, key));
    let first = fitting.next()?;
    match (&header.kid, fitting.next()) {
        // Without a name it has to be plain which one is meant.
        (None, Some(_)) => None,
        _ => Some(first),
    }
}

fn fits(header: &Header, key: &Jwk) -> bool {
    let common = &key.common;
    let named = header.kid.is_none() || header.kid == common.key_id;
    let signs = matches!(common.public_key_use, None | Some(PublicKeyUse::Signature));
    let alg = KeyAlgorithm::from(header.alg);
    let may = common.key_algorithm.is_none_or(|a| a == alg);
    let family = DecodingKey::from_jwk(key).map(|k| k.family());
    named && signs && may && family.is_ok_and(|f| f == header.alg.family())
}

/// The claims of a token that this key signed for us, for this sign-in.
///
/// # Errors
/// What is wrong with it, as the end of a sentence.
pub fn claims(
    token: &str,
    header: &Header,
    key: &Jwk,
    expected: Expected<'_>,
) -> Result<Claims, &'static str> {
    let key = DecodingKey::from_jwk(key).map_err(|_| "its key is damaged")?;
    let mut rules = Validation::new(header.alg);
    rules.leeway = LEEWAY_S;
    rules.validate_nbf = true;
    rules.set_audience(&[expected.client_id]);
    rules.set_issuer(&[expected.issuer]);
    rules.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    let decoded = decode::<Claims>(token, &key, &rules).map_err(|e| match e.kind() {
        ErrorKind::ExpiredSignature => "its token has expired; look at the clocks",
        ErrorKind::ImmatureSignature => "its token is for later; look at the clocks",
        ErrorKind::InvalidSignature | ErrorKind::InvalidAlgorithm => {
            "its token is not signed by it"
        }
        ErrorKind::InvalidAudience => FOR_OTHERS,
        ErrorKind::InvalidIssuer => "its token is from another issuer",
        _ => "its token is not of the form that the standard asks for",
    })?;
    believed(decoded.claims, expected)
}

const FOR_OTHERS: &str = "its token is for another program";

/// What the library does not look at.
fn believed(claims: Claims, expected: Expected<'_>) -> Result<Claims, &'static str> {
    if claims.iss != expected.issuer {
        return Err("its token is from another issuer");
    }
    let ours = |id: &String| id == expected.client_id;
    let alone = match &claims.aud {
        Audience::One(id) => ours(id),
        Audience::Many(ids) => !ids.is_empty() && ids.iter().all(ours),
    };
    // One that is for others too has to say that it was made for us.
    let made_for = match &claims.azp {
        Some(azp) => ours(azp),
        None => alone,
    };
    if !made_for {
        return Err(FOR_OTHERS);
    }
    if claims.nonce.as_deref() != Some(expected.nonce) {
        return Err("its token is from another sign-in");
    }
    let fine = !claims.sub.is_empty()
        && claims.sub.len() <= SUBJECT
        && !claims.sub.chars().any(char::is_control);
    match fine {
        true => Ok(claims),
        false => Err("its token names nobody"),
    }
}
