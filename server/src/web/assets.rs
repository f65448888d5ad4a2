//! Static files, embedded in the binary and named by content.
//!
//! A file is served under `/static/<stem>.<hash>.<ext>`, so it may be cached for ever; any other
//! hash answers 404.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use rust_embed::RustEmbed;

#[derive(RustEmbed)]
#[folder = "../static"]
struct Files;

/// Plain name to hashed name.
static NAMES: LazyLock<BTreeMap<String, String>> = LazyLock::new(|| {
    let hashed = |name: &str| {
        let digest = Files::get(name)?.metadata.sha256_hash();
        let (stem, ext) = name.rsplit_once('.')?;
        Some(format!("{stem}.{}.{ext}", hex::encode(&digest[..6])))
    };
    Files::iter()
        .filter_map(|name| Some((name.to_string(), hashed(&name)?)))
        .collect()
});

/// The URL of an embedded file.
pub fn url(name: &str) -> String {
    let hashed = NAMES.get(name).map_or(name, String::as_str);
    format!("/static/{hashed}")
}

/// `GET /static/{file}`.
pub async fn serve(Path(file): Path<String>) -> Response {
    let plain = NAMES.iter().find(|(_, hashed)| **hashed == file);
    let Some(found) = plain.and_then(|(name, _)| Files::get(name)) else {
        return (StatusCode::NOT_FOUND, "No such file.\n").into_response();
    };
    let kind = match file.rsplit_once('.').map(|(_, ext)| ext) {
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    };
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
    ];
    (headers, found.data.into_owned()).into_response()
}
