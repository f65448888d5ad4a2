//! `receive`: waits for what a server sends to a webhook or callback, and lets through only what is signed.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use clap::Args;
use standardwebhooks::Webhook;
use tokio::sync::mpsc;

use crate::fail::{Done, Fail};

#[derive(Debug, Args)]
pub struct ReceiveArgs {
    /// Where to listen; the path of what is posted does not matter.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: SocketAddr,
    /// The secret of the webhook or callback.
    #[arg(
        long,
        value_name = "whsec_…",
        env = "FIRSTBAD_CALLBACK_SECRET",
        hide_env_values = true
    )]
    pub secret: String,
    /// Give up after so many seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 86_400)]
    pub patience: u64,
}

/// Prints the first delivery whose signature holds; whatever else comes is refused with 401.
pub async fn run(args: &ReceiveArgs) -> Done {
    let secret = Webhook::new(&args.secret)
        .map_err(|e| Fail::Usage(format!("--secret: {e}; use whsec_ and a key in base64")))?;
    let listener = tokio::net::TcpListener::bind(args.listen)
        .await
        .map_err(|e| Fail::Usage(format!("--listen {}: {e}", args.listen)))?;
    let (told, mut received) = mpsc::channel(1);
    let app = Router::new()
        .fallback(post(take))
        .with_state((std::sync::Arc::new(secret), told));
    let server = axum::serve(listener, app);
    let body = tokio::select! {
        body = received.recv() => body,
        ended = async { server.await } => {
            let why = ended.err().map_or_else(String::new, |e| e.to_string());
            return Err(Fail::Infrastructure(format!("--listen {}: {why}", args.listen)));
        }
        () = tokio::time::sleep(Duration::from_secs(args.patience)) => None,
    };
    let Some(body) = body else {
        let why = format!("nothing that was signed came in {} s", args.patience);
        return Err(Fail::Unavailable(why));
    };
    // The answer is on its way to the sender when the body is here.
    tokio::time::sleep(Duration::from_millis(200)).await;
    println!("{}", crate::text::lines(&String::from_utf8_lossy(&body)));
    Ok(0)
}

type Receiver = (std::sync::Arc<Webhook>, mpsc::Sender<Bytes>);

async fn take(
    State((secret, told)): State<Receiver>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    if let Err(error) = secret.verify(&body, &headers) {
        eprintln!("refused: {error}");
        return StatusCode::UNAUTHORIZED;
    }
    match told.try_send(body) {
        Ok(()) => StatusCode::NO_CONTENT,
        // One has come already, and this one is sent again.
        Err(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}
