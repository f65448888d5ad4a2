//! The private cluster, with real Postgres processes.

use std::path::Path;
use std::time::{Duration, Instant};

use firstbad_server::pg::{Cluster, test_database};
use rustix::process::{Pid, Signal, kill_process};
use sqlx::{Connection, PgConnection};
use tokio_util::sync::CancellationToken;

fn postmaster(dir: &Path) -> Pid {
    let text = std::fs::read_to_string(dir.join("data/postmaster.pid")).unwrap();
    Pid::from_raw(text.lines().next().unwrap().parse().unwrap()).unwrap()
}

async fn number(cluster: &Cluster, sql: &'static str) -> sqlx::Result<i32> {
    let mut conn = PgConnection::connect_with(&cluster.options()).await?;
    sqlx::query_scalar(sql).fetch_one(&mut conn).await
}

/// A directory with this mode: 0711 lets the account of Postgres pass.
fn scratch(mode: u32) -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(mode)).unwrap();
    dir
}

#[tokio::test]
async fn a_cluster_survives_everything_that_may_die() {
    let temp = scratch(0o711);
    let dir = temp.path().join("postgres");
    let cluster = Cluster::start(&dir).await.unwrap();
    let mut conn = PgConnection::connect_with(&cluster.options())
        .await
        .unwrap();
    sqlx::raw_sql("CREATE TABLE kept (n int); INSERT INTO kept VALUES (7)")
        .execute(&mut conn)
        .await
        .unwrap();
    conn.close().await.unwrap();
    let durable = "SELECT count(*)::int FROM pg_settings WHERE name IN \
         ('fsync', 'full_page_writes', 'synchronous_commit') AND setting = 'on'";
    assert_eq!(number(&cluster, durable).await.unwrap(), 3);
    let remote =
        "SELECT count(*)::int FROM pg_settings WHERE name = 'listen_addresses' AND setting = ''";
    assert_eq!(number(&cluster, remote).await.unwrap(), 1);
    // The same by URL.
    let mut conn = PgConnection::connect(&cluster.url()).await.unwrap();
    conn.ping().await.unwrap();
    conn.close().await.unwrap();

    // The server was killed: its lock is gone, its Postgres runs on and is adopted.
    let first = postmaster(&dir);
    drop(cluster);
    let cluster = Cluster::start(&dir).await.unwrap();
    assert_eq!(postmaster(&dir), first);
    assert_eq!(number(&cluster, "SELECT n FROM kept").await.unwrap(), 7);

    // Postgres is killed under a living server.
    let shutdown = CancellationToken::new();
    let task = tokio::spawn(cluster.clone().supervise(shutdown.clone()));
    let killed = Instant::now();
    kill_process(first, Signal::KILL).unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    loop {
        if let Ok(n) = number(&cluster, "SELECT n FROM kept").await {
            assert_eq!(n, 7);
            break;
        }
        // Four seconds when the machine has time; the bound is for one that has none.
        assert!(killed.elapsed() < Duration::from_secs(20));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    println!(
        "back {:?} after kill -9 of the postmaster",
        killed.elapsed()
    );
    assert_ne!(postmaster(&dir), first);

    // A clean end stops it.
    shutdown.cancel();
    task.await.unwrap();
    assert!(!dir.join("data/postmaster.pid").exists());
    drop(cluster);

    // A lock file whose process id was given to a stranger (here: to this test).
    let stale = format!("{}\n{}\n", std::process::id(), dir.join("data").display());
    std::fs::write(dir.join("data/postmaster.pid"), stale).unwrap();
    let begun = Instant::now();
    let cluster = Cluster::start(&dir).await.unwrap();
    println!("started again in {:?}", begun.elapsed());
    assert_eq!(number(&cluster, "SELECT n FROM kept").await.unwrap(), 7);
    cluster.stop().await;
}

#[tokio::test]
async fn other_users_cannot_reach_it() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let temp = scratch(0o711);
    let dir = temp
        .path()
        .join("a-directory-whose-name-is-so-long-that-no-socket-fits-into-it/".repeat(2));
    let cluster = Cluster::start(&dir).await.unwrap();
    assert_eq!(number(&cluster, "SELECT 1").await.unwrap(), 1);
    let options = cluster.options();
    let socket = options.get_socket().unwrap();
    assert!(socket.as_os_str().len() < 100);
    let status = tokio::process::Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", "ls"])
        .arg(socket)
        .stderr(std::process::Stdio::null())
        .status()
        .await
        .unwrap();
    assert!(!status.success());
    cluster.stop().await;
    std::fs::remove_dir_all(socket).unwrap();
}

#[tokio::test]
async fn a_closed_parent_directory_is_no_obstacle() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    // Like /root.
    let temp = scratch(0o700);
    let dir = temp.path().join("postgres");
    let cluster = Cluster::start(&dir).await.unwrap();
    assert_eq!(number(&cluster, "SELECT 1").await.unwrap(), 1);
    let location = std::fs::read_to_string(dir.join("location")).unwrap();
    cluster.stop().await;
    std::fs::remove_dir_all(location.trim()).unwrap();
}

#[tokio::test]
async fn every_test_gets_its_own_empty_database() {
    let (a, b) = tokio::join!(test_database(), test_database());
    let (a, b) = (a.unwrap(), b.unwrap());
    let mut one = PgConnection::connect_with(&a.options).await.unwrap();
    let mut two = PgConnection::connect(&b.url).await.unwrap();
    let create = "CREATE TABLE mine (n int)";
    sqlx::raw_sql(create).execute(&mut one).await.unwrap();
    sqlx::raw_sql(create).execute(&mut two).await.unwrap();
}
