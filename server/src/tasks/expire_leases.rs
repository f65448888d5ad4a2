//! Takes expired leases back, row by row.

use crate::db;
use crate::state::App;

/// One pass; `after_outage` first extends every lease, since nobody could renew. Returns how many moved.
pub async fn tick(app: &App, after_outage: bool) -> sqlx::Result<u32> {
    let mut conn = app.pool.acquire().await?;
    if after_outage {
        db::lease::grace(&mut conn, app.timing.ttl_ms).await?;
    }
    let mut moved = 0;
    for id in db::lease::expired(&mut conn).await? {
        // Each row on its own: one that fails must not keep the others from being rescued.
        match db::lease::expire(&mut conn, id).await {
            Ok(true) => {
                moved += 1;
                db::audit(
                    &mut conn,
                    "server",
                    "lease expired",
                    None,
                    Some(id),
                    serde_json::json!({}),
                )
                .await?;
            }
            Ok(false) => {}
            Err(error) => tracing::error!(attempt = id, %error, "could not expire a lease"),
        }
    }
    if moved > 0 {
        app.wake();
    }
    Ok(moved)
}
