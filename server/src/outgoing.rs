//! Requests to addresses that users name: what is signed how, and where none may go.
//!
//! Owns the signature of Standard Webhooks and the guard against requests into the server's own
//! network. Must not know: Postgres, jobs.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use firstbad_api::limits;
use hmac::{Hmac, KeyInit, Mac};
use ipnet::IpNet;
use reqwest::header::{HeaderValue, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, Url};
use sha2::Sha256;

/// Before the key of a receiver.
pub const SECRET: &str = "whsec_";
/// Ports of receivers that are not allowed by name.
const PORTS: [u16; 2] = [443, 8443];

/// The signature of a message: `v1,` and the HMAC-SHA256 of `id.timestamp.body` in base64.
///
/// `None` when the secret is not of the form `whsec_<base64>`. Source: the specification of Standard
/// Webhooks, "Signature scheme".
pub fn signature(secret: &str, id: &str, timestamp: i64, body: &str) -> Option<String> {
    let key = STANDARD.decode(secret.strip_prefix(SECRET)?).ok()?;
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).ok()?;
    mac.update(format!("{id}.{timestamp}.{body}").as_bytes());
    Some(format!(
        "v1,{}",
        STANDARD.encode(mac.finalize().into_bytes())
    ))
}

/// A receiver's address as far as it can be told without asking for names.
///
/// # Errors
/// A sentence without the field's name.
pub fn address(text: &str, allowed: &[IpNet]) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|e| format!("{text:?} is no address: {e}"))?;
    if text.len() > limits::URL_BYTES {
        return Err(format!("use at most {} bytes", limits::URL_BYTES));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("leave out the name and password: what is sent is signed".to_owned());
    }
    match (url.scheme(), url.host()) {
        ("https", Some(_)) => {}
        // Which addresses may be asked without TLS is known once the name is.
        ("http", Some(_)) if !allowed.is_empty() => {}
        _ => return Err("use https://HOST/…".to_owned()),
    }
    let literal = match url.host() {
        Some(url::Host::Ipv4(ip)) => Some(IpAddr::V4(ip)),
        Some(url::Host::Ipv6(ip)) => Some(IpAddr::V6(ip)),
        _ => None,
    };
    if let Some(ip) = literal {
        check(&url, ip, allowed)?;
    }
    Ok(url)
}

/// Whether a request may go there.
fn check(url: &Url, ip: IpAddr, allowed: &[IpNet]) -> Result<(), String> {
    let ip = ip.to_canonical();
    if allowed.iter().any(|net| net.contains(&ip)) {
        return Ok(());
    }
    if !is_public(ip) {
        return Err(format!(
            "{ip} is not an address of the public internet; whoever runs the server can allow it \
             (--webhook-allow)"
        ));
    }
    let port = url.port_or_known_default().unwrap_or_default();
    if url.scheme() != "https" || !PORTS.contains(&port) {
        return Err("use https:// on port 443 or 8443".to_owned());
    }
    Ok(())
}

/// Nothing private, local, shared, reserved or translated (the IANA special-purpose registries).
fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, c, _] = ip.octets();
            !(ip.is_private()
                || ip.is_loopback()
                || ip.is_link_local()
                || ip.is_broadcast()
                || ip.is_documentation()
                || ip.is_multicast()
                || ip == Ipv4Addr::UNSPECIFIED
                || a == 0
                || a >= 240
                || (a == 100 && (64..128).contains(&b))
                || (a == 198 && (18..20).contains(&b))
                || (a == 192 && b == 0 && c == 0)
                || (a == 192 && b == 88 && c == 99))
        }
        IpAddr::V6(ip) => {
            let [a, b, ..] = ip.segments();
            // Only what is routed at all, without documentation, tunnels and translation.
            (a & 0xe000) == 0x2000
                && ip != Ipv6Addr::UNSPECIFIED
                && a != 0x2002
                && !(a == 0x2001 && (b < 0x200 || b == 0xdb8))
                && a != 0x3fff
        }
    }
}

/// What a receiver said, in a word.
pub struct Answer {
    pub status: u16,
    /// As it asks for, at most a day.
    pub retry_after_s: Option<u64>,
}

/// Posts a signed message. Nothing is followed, and what comes back is not read.
///
/// # Errors
/// A sentence: the address is not allowed, nobody answers, or not in time.
pub async fn post(
    to: &str,
    secret: &str,
    id: &str,
    timestamp: i64,
    body: &str,
    allowed: &[IpNet],
) -> Result<Answer, String> {
    let url = address(to, allowed)?;
    let signature = signature(secret, id, timestamp, body)
        .ok_or_else(|| "its secret is damaged; make the webhook again".to_owned())?;
    let client = client(&url, allowed).await?;
    let request = client
        .post(url)
        .header("content-type", "application/json")
        .header("webhook-id", id)
        .header("webhook-timestamp", timestamp.to_string())
        .header("webhook-signature", signature)
        .body(body.to_owned());
    answered(request).await
}

/// Posts a commit status to a service, with what its token is shown as.
///
/// # Errors
/// As for [`post`].
pub async fn status(
    to: &str,
    (header, credential): (&'static str, String),
    body: &str,
    allowed: &[IpNet],
) -> Result<Answer, String> {
    let url = address(to, allowed)?;
    let mut credential = HeaderValue::from_str(&credential)
        .map_err(|_| "its token is damaged; give the rule another one".to_owned())?;
    credential.set_sensitive(true);
    let client = client(&url, allowed).await?;
    let request = client
        .post(url)
        .header("content-type", "application/json")
        .header("accept", "application/json")
        .header(header, credential)
        .body(body.to_owned());
    answered(request).await
}

async fn answered(request: reqwest::RequestBuilder) -> Result<Answer, String> {
    let sent = request.send().await;
    let answer = sent.map_err(|error| match (error.is_timeout(), error.is_connect()) {
        (true, _) => format!("no answer within {} s", limits::WEBHOOK_TIMEOUT_S),
        (_, true) => "nobody listens there, or not with a certificate that holds".to_owned(),
        _ => "the connection broke".to_owned(),
    })?;
    let after = answer.headers().get(RETRY_AFTER);
    let after = after
        .and_then(|v| v.to_str().ok())
        .and_then(|v| v.parse().ok());
    Ok(Answer {
        status: answer.status().as_u16(),
        retry_after_s: after.map(|s: u64| s.min(86_400)),
    })
}

/// A client that connects to the address that was looked at, whatever the name means a moment later.
async fn client(url: &Url, allowed: &[IpNet]) -> Result<Client, String> {
    let timeout = Duration::from_secs(limits::WEBHOOK_TIMEOUT_S);
    let builder = Client::builder()
        .redirect(Policy::none())
        .no_proxy()
        .user_agent(concat!("firstbad/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(timeout / 2)
        .timeout(timeout);
    let builder = match url.host() {
        Some(url::Host::Domain(name)) => {
            let port = url.port_or_known_default().unwrap_or_default();
            let found = tokio::time::timeout(timeout / 2, tokio::net::lookup_host((name, port)));
            let found = found
                .await
                .map_err(|_| format!("{name} is not resolved in time"))?;
            let found = found.map_err(|_| format!("{name} has no address"))?;
            let found: Vec<SocketAddr> = found.collect();
            for address in &found {
                check(url, address.ip(), allowed)?;
            }
            if found.is_empty() {
                return Err(format!("{name} has no address"));
            }
            builder.resolve_to_addrs(name, &found)
        }
        _ => builder,
    };
    builder.build().map_err(|e| format!("no client: {e}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_specification_is_signed_as_it_says() {
        let secret = "whsec_plJ3nmyCDGBKInavdOK15jsl";
        let body = r#"{"event_type":"ping","data":{"success":true}}"#;
        let signed = signature(secret, "msg_loFOjxBNrRLzqYUf", 1_731_705_121, body);
        assert_eq!(
            signed.as_deref(),
            Some("v1,rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0=")
        );
        assert_eq!(signature("plJ3", "m", 0, ""), None);
    }

    #[test]
    fn no_request_goes_into_the_servers_own_network() {
        for bad in [
            "http://example.org/",
            "https://127.0.0.1/",
            "https://0x7f.1/",
            "https://2130706433/",
            "https://[::1]/",
            "https://[::ffff:127.0.0.1]/",
            "https://[::ffff:10.0.0.1]/",
            "https://[64:ff9b::7f00:1]/",
            "https://[fd00::1]/",
            "https://[fe80::1]/",
            "https://[2002:7f00:1::]/",
            "https://169.254.169.254/latest/meta-data",
            "https://10.1.2.3/",
            "https://100.64.0.1/",
            "https://192.168.0.1/",
            "https://172.16.0.1/",
            "https://0.0.0.0/",
            "https://224.0.0.1/",
            "https://255.255.255.255/",
            "https://1.1.1.1:22/",
            "https://user@example.org/",
            "https://a:b@example.org/",
            "ftp://example.org/",
            "file:///etc/passwd",
            "https://",
            "nonsense",
        ] {
            assert!(address(bad, &[]).is_err(), "{bad}");
        }
        for good in [
            "https://example.org/hook",
            "https://1.1.1.1:8443/x",
            "https://[2606:4700::1]/",
        ] {
            assert!(
                address(good, &[]).is_ok(),
                "{good}: {:?}",
                address(good, &[])
            );
        }
        let loopback: Vec<IpNet> = vec!["127.0.0.0/8".parse().unwrap()];
        assert!(address("http://127.0.0.1:9000/", &loopback).is_ok());
        assert!(address("http://10.0.0.1/", &loopback).is_err());
        assert!(
            address("http://1.1.1.1/", &loopback).is_err(),
            "without TLS only where allowed"
        );
    }

    #[tokio::test]
    async fn a_name_that_means_the_server_itself_is_refused() {
        let refused = post("https://localhost/", "whsec_AAAA", "m", 0, "{}", &[]).await;
        let why = refused.err().unwrap();
        assert!(
            why.contains("is not an address of the public internet"),
            "{why}"
        );
    }
}
