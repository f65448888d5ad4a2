//! The page about the API: its description, for people.

use askama::Template;
use axum::extract::State;
use serde_json::Value;

use super::error::{Page, page};
use crate::access::Access;
use crate::api::openapi::{self, Operation, PREFIX};
use crate::state::App;

/// A field of a request.
pub struct Field {
    pub name: String,
    pub kind: String,
    pub needed: bool,
    pub about: String,
}

/// One operation as it is shown.
pub struct Shown {
    pub operation: &'static Operation,
    pub who: &'static str,
    pub fields: Vec<Field>,
}

/// `api.html`.
#[derive(Template)]
#[template(path = "api.html")]
pub struct ApiPage {
    /// Operations by subject.
    groups: Vec<(&'static str, Vec<Shown>)>,
    prefix: &'static str,
}

/// `GET /api`.
pub(super) async fn show(State(app): State<App>) -> Page {
    let document = openapi::described(&app);
    let routes = crate::run::routes(&app);
    let mut groups: Vec<(&'static str, Vec<Shown>)> = Vec::new();
    for operation in openapi::operations() {
        let shown = Shown {
            operation,
            who: who(operation.access(routes.table())),
            fields: fields(document, operation),
        };
        match groups.iter_mut().find(|(tag, _)| *tag == operation.tag) {
            Some((_, group)) => group.push(shown),
            None => groups.push((operation.tag, vec![shown])),
        }
    }
    page(&ApiPage {
        groups,
        prefix: PREFIX,
    })
}

fn who(access: Option<Access>) -> &'static str {
    match access {
        Some(Access::Open) => "anyone",
        Some(Access::Read) => "readers",
        Some(Access::Fetch) => "readers and workers",
        Some(Access::Mirror) => "operators and workers",
        Some(Access::Submit) => "submitters",
        Some(Access::Own) => "its owner and operators",
        Some(Access::Operate) => "operators",
        Some(Access::Administer) => "admins",
        Some(Access::Work) => "workers",
        Some(Access::SignedIn) | None => "",
    }
}

/// What a request may say, from the description.
fn fields(document: &Value, operation: &Operation) -> Vec<Field> {
    let path = format!("{PREFIX}{}", operation.path);
    let body = &document["paths"][path][operation.method]["requestBody"]["content"];
    let schema = resolved(document, &body["application/json"]["schema"]);
    let needed: Vec<&str> = schema["required"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let properties = schema["properties"].as_object();
    let field = |(name, of): (&String, &Value)| Field {
        name: name.clone(),
        kind: kind(of),
        needed: needed.contains(&name.as_str()),
        about: of["description"].as_str().unwrap_or_default().to_owned(),
    };
    properties.into_iter().flatten().map(field).collect()
}

/// A schema, or the one that it names.
fn resolved<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    let named = schema["$ref"].as_str().and_then(|r| r.strip_prefix('#'));
    named.and_then(|at| document.pointer(at)).unwrap_or(schema)
}

/// A type in a word or two.
fn kind(schema: &Value) -> String {
    let name = |schema: &Value| {
        let named = schema["$ref"].as_str()?.rsplit('/').next()?;
        Some(named.to_owned())
    };
    if let Some(name) = name(schema) {
        return name;
    }
    if let Some(any) = schema["anyOf"].as_array() {
        let names: Vec<String> = any.iter().map(kind).filter(|k| k != "null").collect();
        return names.join(" or ");
    }
    let one = |text: &str| match text {
        "array" => format!("list of {}", kind(&schema["items"])),
        other => other.to_owned(),
    };
    match &schema["type"] {
        Value::String(text) => one(text),
        Value::Array(all) => {
            let names = all
                .iter()
                .filter_map(Value::as_str)
                .filter(|t| *t != "null");
            names.map(one).collect::<Vec<_>>().join(" or ")
        }
        _ => "any".to_owned(),
    }
}
