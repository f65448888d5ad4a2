//! Cookies of those who are signed in, and the tokens in their forms.
//!
//! A session is 256 random bits; a new one at each sign-in. The server stores its SHA-256.

use axum::http::{HeaderMap, header};
use firstbad_api::limits;
use rand::RngExt;
use sha2::{Digest, Sha256};

use super::Gate;

/// What a browser keeps for us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cookie {
    /// Of who is signed in.
    Session,
    /// Of a sign-in that went to the identity provider.
    SignIn,
}

impl Cookie {
    /// Over TLS it is bound to this very host by the browser; over plain HTTP on this machine
    /// browsers refuse that.
    fn name(self, gate: &Gate) -> &'static str {
        match (self, gate.https()) {
            (Cookie::Session, true) => "__Host-firstbad",
            (Cookie::Session, false) => "firstbad",
            (Cookie::SignIn, true) => "__Host-firstbad-sign-in",
            (Cookie::SignIn, false) => "firstbad-sign-in",
        }
    }

    fn lasts_s(self) -> i64 {
        match self {
            Cookie::Session => limits::SESSION_S,
            Cookie::SignIn => limits::SIGN_IN_S,
        }
    }
}

/// The secret of a new session, or of a sign-in.
pub fn new_session() -> String {
    let secret: [u8; 32] = rand::rng().random();
    hex::encode(secret)
}

/// The secret that a request brings.
pub fn of_request<'a>(gate: &Gate, headers: &'a HeaderMap, cookie: Cookie) -> Option<&'a str> {
    let name = cookie.name(gate);
    let cookies = headers.get_all(header::COOKIE).iter();
    let pairs = cookies.filter_map(|v| v.to_str().ok());
    let mut pairs = pairs.flat_map(|v| v.split(';').filter_map(|pair| pair.trim().split_once('=')));
    let (_, secret) = pairs.find(|(n, _)| *n == name)?;
    (secret.len() == 64).then_some(secret)
}

/// `Set-Cookie` that leaves a secret in the browser.
pub fn cookie_of(gate: &Gate, cookie: Cookie, secret: &str) -> String {
    set(gate, cookie, secret, cookie.lasts_s())
}

/// `Set-Cookie` that takes it away.
pub fn over(gate: &Gate, cookie: Cookie) -> String {
    set(gate, cookie, "", 0)
}

fn set(gate: &Gate, cookie: Cookie, secret: &str, lasts_s: i64) -> String {
    let secure = if gate.https() { "; Secure" } else { "" };
    let name = cookie.name(gate);
    format!("{name}={secret}; Path=/; HttpOnly; SameSite=Lax; Max-Age={lasts_s}{secure}")
}

/// What the forms of a session carry: no other site can know it, and it tells nothing of the secret.
pub fn form_token(secret: &str) -> String {
    hex::encode(Sha256::digest(format!("form of {secret}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_found_among_others_and_only_under_its_name() {
        let plain = Gate::default();
        let tls = Gate {
            url: Some("https://x.example".to_owned()),
            ..Gate::default()
        };
        let secret = new_session();
        let sent = |gate: &Gate| {
            let pair = cookie_of(gate, Cookie::Session, &secret);
            let pair = pair.split(';').next().unwrap();
            let other = cookie_of(gate, Cookie::SignIn, &"1".repeat(64));
            let other = other.split(';').next().unwrap();
            let value = format!("a=b; {other}; {pair}; firstbad2=x");
            HeaderMap::from_iter([(header::COOKIE, value.parse().unwrap())])
        };
        for gate in [&plain, &tls] {
            let sent = sent(gate);
            let found = of_request(gate, &sent, Cookie::Session);
            assert_eq!(found, Some(secret.as_str()));
        }
        assert_eq!(of_request(&tls, &sent(&plain), Cookie::Session), None);
        assert!(cookie_of(&tls, Cookie::Session, &secret).ends_with("; Secure"));
        assert_ne!(form_token(&secret), secret);
    }
}
