//! What somebody who signed in elsewhere is called here, and may do. Pure.

use firstbad_api::user::Role;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

/// Longest name before the `@`, and behind it; together at most that of a local account.
const NAME: usize = 24;
const PLACE: usize = 15;

/// The highest role that these claims map to, or the one of who is in no group.
pub fn role(
    claims: &Map<String, Value>,
    claim: Option<&str>,
    map: &[(String, Role)],
    otherwise: Option<Role>,
) -> Option<Role> {
    let said = claim.and_then(|name| claims.get(name));
    let groups: Vec<&str> = match said {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).collect(),
        _ => vec![],
    };
    let mapped = map.iter().filter(|(g, _)| groups.contains(&g.as_str()));
    mapped.map(|(_, role)| *role).max().or(otherwise)
}

/// Names for a new account, in the order in which they are tried: the second one is nobody else's.
///
/// No local account has an `@` in its name, so none of these can be taken for one.
pub fn names(claims: &Map<String, Value>, issuer: &str, subject: &str, place: &str) -> [String; 2] {
    let said = ["preferred_username", "nickname", "name"];
    let said = said.iter().find_map(|c| claims.get(*c)?.as_str());
    let user = said.unwrap_or_default().split('@').next();
    let user = plain(user.unwrap_or_default(), "._-", NAME, "user");
    let place = plain(place, "", PLACE, "sso");
    let own = hex::encode(Sha256::digest(format!("{issuer}\n{subject}")));
    let short: String = user.chars().take(NAME - 9).collect();
    [
        format!("{user}@{place}"),
        format!("{short}-{}@{place}", &own[..8]),
    ]
}

/// Lower-case letters and digits, with `-` for the rest, which neither begins nor ends it.
fn plain(text: &str, also: &str, most: usize, otherwise: &str) -> String {
    let mut out = String::new();
    for c in text.to_lowercase().chars() {
        if c.is_ascii_alphanumeric() || also.contains(c) {
            out.push(c);
        } else if !out.ends_with('-') {
            out.push('-');
        }
    }
    let cut: String = out
        .trim_matches(['-', '.', '_'])
        .chars()
        .take(most)
        .collect();
    match cut.trim_end_matches(['-', '.', '_']) {
        "" => otherwise.to_owned(),
        cut => cut.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn claims(value: Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap()
    }

    #[test]
    fn the_highest_mapped_role_counts_and_nothing_else() {
        let map = [
            ("kernel".to_owned(), Role::Submitter),
            ("admins".to_owned(), Role::Admin),
        ];
        let of = |said: Value, otherwise| {
            let said = claims(json!({ "groups": said, "admin": true }));
            role(&said, Some("groups"), &map, otherwise)
        };
        assert_eq!(of(json!(["kernel", "x"]), None), Some(Role::Submitter));
        assert_eq!(of(json!(["kernel", "admins"]), None), Some(Role::Admin));
        assert_eq!(of(json!("kernel"), None), Some(Role::Submitter));
        assert_eq!(of(json!(["Kernel", "ADMINS"]), None), None);
        assert_eq!(of(json!({ "admins": 1 }), None), None);
        assert_eq!(of(json!([1, null]), Some(Role::Viewer)), Some(Role::Viewer));
        let said = claims(json!({ "groups": ["admins"] }));
        assert_eq!(
            role(&said, None, &map, Some(Role::Viewer)),
            Some(Role::Viewer)
        );
    }

    #[test]
    fn a_name_cannot_pass_for_a_local_one() {
        let first = |said: Value| {
            let [first, own] = names(&claims(said), "https://i", "7", "Kernel SSO");
            assert!(own.ends_with("@kernel-sso") && own != first, "{own}");
            assert!(first.len() <= 40 && own.len() <= 40, "{first} {own}");
            first
        };
        for (said, name) in [
            (json!({ "preferred_username": "alice" }), "alice@kernel-sso"),
            (
                json!({ "preferred_username": "Alice@x.org" }),
                "alice@kernel-sso",
            ),
            (
                json!({ "name": "Ada  Lovelace" }),
                "ada-lovelace@kernel-sso",
            ),
            (json!({ "preferred_username": "аdmin" }), "dmin@kernel-sso"),
            (
                json!({ "preferred_username": "<b>\u{202e}x" }),
                "b-x@kernel-sso",
            ),
            (json!({ "preferred_username": "@" }), "user@kernel-sso"),
            (json!({ "preferred_username": 7 }), "user@kernel-sso"),
            (json!({}), "user@kernel-sso"),
        ] {
            assert_eq!(first(said), name);
        }
        first(json!({ "preferred_username": "a".repeat(500) }));
        let of = |subject| names(&Map::new(), "https://i", subject, "")[1].clone();
        assert_ne!(of("1"), of("2"));
        assert!(of("1").ends_with("@sso"));
    }
}
