//! What runs saw, kept between pictures: the planner and the pages ask for it again and again, it never
//! changes once it is there, and a job may have ten thousand runs.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use firstbad_api::observation::TestObservation;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::db;
use crate::db::job::ProbeRow;

/// Bytes of JSON that are kept in the parsed form.
const KEPT_BYTES: usize = 96 << 20;

/// Database, attempt, lease.
type Key = (Uuid, i64, i32);

#[derive(Default)]
struct Kept {
    bytes: usize,
    seen: HashMap<Key, Arc<TestObservation>>,
}

static KEPT: LazyLock<Mutex<Kept>> = LazyLock::new(Mutex::default);

/// What the runs among these probes saw, by attempt.
pub(super) async fn of_runs(
    conn: &mut PgConnection,
    probes: &[ProbeRow],
) -> anyhow::Result<HashMap<i64, Arc<TestObservation>>> {
    let ended = |p: &&ProbeRow| p.kind == "test" && p.state == "done";
    let wanted: Vec<&ProbeRow> = probes.iter().filter(ended).collect();
    let mut seen = HashMap::with_capacity(wanted.len());
    if wanted.is_empty() {
        return Ok(seen);
    }
    let database = db::incarnation(conn).await?;
    let mut missing = HashMap::new();
    {
        let kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
        for probe in wanted {
            let key = (database, probe.attempt_id, probe.epoch);
            if let Some(known) = kept.seen.get(&key) {
                seen.insert(probe.attempt_id, known.clone());
            } else {
                missing.insert(probe.attempt_id, probe.epoch);
            }
        }
    }
    let ids: Vec<i64> = missing.keys().copied().collect();
    let read = db::attempt::observations(conn, &ids).await?;
    let mut new = Vec::with_capacity(read.len());
    for (id, json) in read {
        let mut run: TestObservation = serde_json::from_str(&json)?;
        // Nobody judges by it, and it is most of what there is.
        run.run.argv = Vec::new();
        new.push((id, json.len(), Arc::new(run)));
    }
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    for (id, bytes, run) in new {
        if kept.bytes + bytes > KEPT_BYTES {
            *kept = Kept::default();
        }
        if let Some(epoch) = missing.get(&id) {
            kept.bytes += bytes;
            kept.seen.insert((database, id, *epoch), run.clone());
        }
        seen.insert(id, run);
    }
    Ok(seen)
}
