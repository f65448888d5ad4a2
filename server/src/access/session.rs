//! Cookies of those who are signed in, and the tokens in their forms.
//!
//! A session is 256 random bits; a new one at each sign-in. The server stores its SHA-256.

use axum::http::{HeaderMap, header};
use firstbad_api::limits;
use rand::RngExt;
use sha2::{Digest, Sha256};

use super::Gate;

/// Over TLS: bound to this very host by the browser.
const SECURE: &str = "__Host-firstbad";
/// Over plain HTTP on this machine, where browsers refuse the other.
const PLAIN: &str = "firstbad";

fn name(gate: &Gate) -> &'static str {
    match gate.https() {
        true => SECURE,
        false => PLAIN,
    }
}

/// The secret of a new session.
pub fn new_session() -> String {
    let secret: [u8; 32] = rand::rng().random();
    hex::encode(secret)
}

/// The secret that a request brings.
pub fn of_request<'a>(gate: &Gate, headers: &'a HeaderMap) -> Option<&'a str> {
    let name = name(gate);
    let cookies = headers.get_all(header::COOKIE).iter();
    let pairs = cookies.filter_map(|v| v.to_str().ok());
    let mut pairs = pairs.flat_map(|v| v.split(';').filter_map(|pair| pair.trim().split_once('=')));
    let (_, secret) = pairs.find(|(n, _)| *n == name)?;
    (secret.len() == 64).then_some(secret)
}

/// `Set-Cookie` that begins a session in the browser.
pub fn cookie_of(gate: &Gate, secret: &str) -> String {
    let secure = if gate.https() { "; Secure" } else { "" };
    format!(
        "{}={secret}; Path=/; HttpOnly; SameSite=Lax; Max-Age={}{secure}",
        name(gate),
        limits::SESSION_S
    )
}

/// `Set-Cookie` that ends it.
pub fn over(gate: &Gate) -> String {
    let secure = if gate.https() { "; Secure" } else { "" };
    format!(
        "{}=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0{secure}",
        name(gate)
    )
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
            let pair = cookie_of(gate, &secret);
            let pair = pair.split(';').next().unwrap();
            let value = format!("a=b; {pair}; firstbad2=x");
            HeaderMap::from_iter([(header::COOKIE, value.parse().unwrap())])
        };
        for gate in [&plain, &tls] {
            assert_eq!(of_request(gate, &sent(gate)), Some(secret.as_str()));
        }
        assert_eq!(of_request(&tls, &sent(&plain)), None);
        assert!(cookie_of(&tls, &secret).ends_with("; Secure"));
        assert_ne!(form_token(&secret), secret);
    }
}
