//! Who may do what: who makes a request, what its route asks for, and what it is about.
//!
//! [`Routes`] is the only way to add a route, and asks for both, so none is without an answer. The
//! guard before each handler decides; handlers may rely on it. Must not know what a handler does.

mod costly;
mod guard;
mod password;
mod principal;
mod routes;
mod session;
mod signing;
mod waiters;

pub use costly::{COSTLY, Costly};
pub use firstbad_api::user::Role;
pub(crate) use guard::current;
pub use guard::{Current, Surface};
pub use password::{Refused, hash, unfit};
pub use principal::{Principal, make_token, put_token};
pub(crate) use principal::{WORKER, new_token, same};
pub use routes::{Route, Routes};
pub use session::{Cookie, cookie_of, form_token, new_session, of_request, over};
pub use signing::{Address, SignIns, Tried, sign_in};
pub use waiters::{Waiters, Waiting};

use axum::http::HeaderMap;

/// What a route asks of who calls it. A token counts as what it may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Anyone, always: signing in, the style sheet, health.
    Open,
    /// Anyone, or, when anonymous reading is off, viewers.
    Read,
    /// The same, and workers always: what they need to build and run.
    Fetch,
    /// Workers and operators.
    Mirror,
    /// Submitters.
    Submit,
    /// Submitters for what is their own, operators for all. Only with an object that has an owner.
    Own,
    /// Operators.
    Operate,
    /// Admins.
    Administer,
    /// Workers alone.
    Work,
    /// Whoever is signed in by a page.
    SignedIn,
}

/// What a route is about, as its path names it: that has to be visible to who calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Object {
    /// Nothing that could be private.
    None,
    /// The job `{id}`.
    Job,
    /// The attempt `{id}`.
    Attempt,
    /// The survey `{id}`.
    Survey,
    /// The regression `{id}`.
    Regression,
    /// The artefact `{sha256}`.
    Artefact,
    /// What a live page shows, as the query says.
    Followed,
}

/// How the server is reached, and who may read it.
#[derive(Debug, Default)]
pub struct Gate {
    /// Reading asks for an account too.
    pub private: bool,
    /// Address under which people reach the server, such as `https://bisect.example.org`.
    pub url: Option<String>,
    /// It listens on other addresses than those of this machine.
    pub exposed: bool,
    /// Networks that webhooks may go to besides the public internet.
    pub webhook_allow: Vec<ipnet::IpNet>,
    pub sign_ins: SignIns,
    pub costly: Costly,
    pub waiters: Waiters,
}

impl Gate {
    /// People reach it over TLS, which a proxy before it ends.
    pub fn https(&self) -> bool {
        self.url.as_ref().is_some_and(|u| u.starts_with("https://"))
    }

    /// A password may be sent: over TLS, or without leaving the machine.
    pub fn signs_in(&self) -> bool {
        self.https() || !self.exposed
    }

    /// The host part of the address that people use: as set, or as the request names it.
    fn authority<'a>(&'a self, headers: &'a HeaderMap) -> Option<&'a str> {
        match &self.url {
            Some(url) => url.split("://").nth(1),
            None => headers.get("host")?.to_str().ok(),
        }
    }

    /// Whether a browser made this request from one of our own pages. Without the headers that say
    /// so it did not: all browsers send one of them with a form.
    pub fn same_origin(&self, headers: &HeaderMap) -> bool {
        let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok());
        let origin = text("origin").map(|o| match (o.split_once("://"), &self.url) {
            (Some(_), Some(url)) => o == url,
            (Some((_, host)), None) => Some(host) == self.authority(headers),
            (None, _) => false,
        });
        match (text("sec-fetch-site"), origin) {
            (Some(site), origin) => site == "same-origin" && origin != Some(false),
            (None, origin) => origin == Some(true),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (name.parse().unwrap(), value.parse().unwrap())
        };
        pairs.iter().map(pair).collect::<HeaderMap>()
    }

    #[test]
    fn only_our_own_pages_post() {
        let open = Gate::default();
        let set = Gate {
            url: Some("https://x.example".to_owned()),
            ..Gate::default()
        };
        let host = ("host", "127.0.0.1:8610");
        for (gate, sent, ok) in [
            (&open, vec![host], false),
            (&open, vec![host, ("origin", "http://127.0.0.1:8610")], true),
            (
                &open,
                vec![host, ("origin", "http://127.0.0.1:9000")],
                false,
            ),
            (&open, vec![host, ("origin", "null")], false),
            (&open, vec![host, ("sec-fetch-site", "same-origin")], true),
            (&open, vec![host, ("sec-fetch-site", "same-site")], false),
            (&open, vec![host, ("sec-fetch-site", "none")], false),
            (
                &open,
                vec![("sec-fetch-site", "same-origin"), ("origin", "http://a")],
                false,
            ),
            (&set, vec![host, ("origin", "https://x.example")], true),
            (&set, vec![host, ("origin", "http://x.example")], false),
            (&set, vec![host, ("origin", "https://x.example.org")], false),
        ] {
            assert_eq!(gate.same_origin(&headers(&sent)), ok, "{sent:?}");
        }
    }
}
