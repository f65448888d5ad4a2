//! Artefacts and logs on a real file system.

use std::io;

use firstbad_server::store::{Store, StoreError};
use futures_util::stream;
use sha2::{Digest, Sha256};

fn chunks(parts: &[&'static [u8]]) -> impl futures_util::Stream<Item = io::Result<&'static [u8]>> {
    stream::iter(parts.iter().map(|p| Ok(*p)).collect::<Vec<_>>())
}

fn hash(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

fn files(dir: &std::path::Path) -> usize {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return 0;
    };
    entries
        .map(|e| e.unwrap().path())
        .map(|p| if p.is_dir() { files(&p) } else { 1 })
        .sum()
}

#[tokio::test]
async fn an_artefact_is_stored_once_under_its_hash() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::new(dir.path());
    let sha256 = hash(b"kernel image");
    for _ in 0..2 {
        let size = store
            .put_artefact(&sha256, chunks(&[b"kernel ", b"image"]))
            .await
            .unwrap();
        assert_eq!(size, 12);
    }
    let path = store.artefact_path(&sha256);
    assert!(path.ends_with(format!("artefacts/{}/{sha256}", &sha256[..2])));
    assert_eq!(std::fs::read(path).unwrap(), b"kernel image");
    assert_eq!(files(dir.path()), 1);
}

#[tokio::test]
async fn a_refused_artefact_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::new(dir.path()).with_limits(8, 8);
    let put = store.put_artefact(&hash(b"a"), chunks(&[b"b"])).await;
    assert!(matches!(put, Err(StoreError::Mismatch)));
    let put = store
        .put_artefact("../../etc/passwd", chunks(&[b"b"]))
        .await;
    assert!(matches!(put, Err(StoreError::Mismatch)));
    let long = hash(b"123456789");
    let put = store
        .put_artefact(&long, chunks(&[b"12345", b"6789"]))
        .await;
    assert!(matches!(put, Err(StoreError::TooLarge)));
    let broken = stream::iter([Ok(&b"1"[..]), Err(io::Error::other("connection lost"))]);
    let put = store.put_artefact(&hash(b"1"), broken).await;
    assert!(matches!(put, Err(StoreError::Io(_))));
    assert_eq!(files(dir.path()), 0);
    assert!(!store.artefact_path("../../etc/passwd").exists());
}

#[tokio::test]
async fn a_log_takes_repeats_and_refuses_gaps_and_other_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::new(dir.path());
    assert_eq!(
        store.read_log(7, 2, "build", 0, 99).await.unwrap(),
        (vec![], 0)
    );
    assert_eq!(
        store.append_log(7, 2, "build", 0, b"hello ").await.unwrap(),
        6
    );
    assert_eq!(
        store.append_log(7, 2, "build", 6, b"world").await.unwrap(),
        11
    );
    // A repeated request, and one that overlaps the end.
    assert_eq!(
        store.append_log(7, 2, "build", 0, b"hello ").await.unwrap(),
        11
    );
    assert_eq!(
        store.append_log(7, 2, "build", 8, b"rld!").await.unwrap(),
        12
    );
    let gap = store.append_log(7, 2, "build", 13, b"x").await;
    assert!(matches!(gap, Err(StoreError::Gap { expected: 12 })));
    let other = store.append_log(7, 2, "build", 4, b"o World").await;
    assert!(matches!(other, Err(StoreError::Conflict { offset: 6 })));
    let window = store.read_log(7, 2, "build", 6, 5).await.unwrap();
    assert_eq!(window, (b"world".to_vec(), 12));
    assert_eq!(
        store.read_log(7, 2, "build", 50, 5).await.unwrap(),
        (vec![], 12)
    );
    // Another epoch is another log.
    assert_eq!(
        store.append_log(7, 3, "build", 0, b"again").await.unwrap(),
        5
    );
    assert!(store.append_log(7, 3, "../x", 0, b"").await.is_err());
}

#[tokio::test]
async fn beyond_the_head_a_log_is_accepted_and_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::new(dir.path()).with_limits(8, 8);
    assert_eq!(
        store
            .append_log(1, 1, "console", 0, b"12345")
            .await
            .unwrap(),
        5
    );
    assert_eq!(
        store
            .append_log(1, 1, "console", 5, b"6789a")
            .await
            .unwrap(),
        10
    );
    assert_eq!(
        store.append_log(1, 1, "console", 10, b"bc").await.unwrap(),
        12
    );
    let window = store.read_log(1, 1, "console", 0, 99).await.unwrap();
    assert_eq!(window, (b"12345678".to_vec(), 8));
}

#[tokio::test]
async fn writers_of_one_log_do_not_tear_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::new(dir.path());
    let line = |n: u8| vec![b'a' + n; 1000];
    for n in 0..5 {
        let offset = u64::from(n) * 1000;
        let twice = [store.clone(), store.clone()].map(|store| {
            tokio::spawn(async move { store.append_log(1, 1, "build", offset, &line(n)).await })
        });
        for task in twice {
            assert_eq!(task.await.unwrap().unwrap(), offset + 1000);
        }
    }
    assert_eq!(
        store.read_log(1, 1, "build", 0, 9999).await.unwrap().1,
        5000
    );
}

#[tokio::test]
async fn lines_of_a_long_log_are_found_by_a_pattern() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::new(dir.path());
    let mut log = Vec::new();
    let mut wanted = Vec::new();
    for i in 0..60_000_u32 {
        if i % 1_000 == 7 {
            wanted.push((
                log.len() as u64,
                format!("[{i}] BUG: this one").into_bytes(),
            ));
        }
        let what = if i % 1_000 == 7 {
            "BUG: this one"
        } else {
            "all is well, nothing to be found here"
        };
        log.extend_from_slice(format!("[{i}] {what}\n").as_bytes());
    }
    // A line without an end, longer than what is looked at at once.
    let long = log.len() as u64;
    log.extend(std::iter::repeat_n(b'x', 5 << 20));
    log.extend_from_slice(b"BUG: at the very end");
    assert_eq!(
        store.append_log(1, 1, "console", 0, &log).await.unwrap(),
        log.len() as u64
    );
    let grep = async |from, most| {
        let bug = regex::bytes::Regex::new("BUG:").unwrap();
        store
            .grep_log(1, 1, "console", bug, from, most)
            .await
            .unwrap()
    };
    let all = grep(0, 1_000).await;
    assert_eq!(all.lines.len(), 61);
    assert!(all.lines[..60] == wanted[..]);
    assert!(all.lines[60].0 >= long);
    assert_eq!(all.more, None);
    // In pages, each line once.
    let (mut seen, mut from) = (Vec::new(), Some(0));
    while let Some(at) = from {
        let page = grep(at, 7).await;
        seen.extend(page.lines);
        from = page.more;
    }
    // The pieces of the long line depend on where one begins.
    assert!(seen.len() == 61 && seen[..60] == wanted[..]);
    let none = store.grep_log(
        1,
        2,
        "console",
        regex::bytes::Regex::new("x").unwrap(),
        0,
        5,
    );
    assert!(none.await.unwrap().lines.is_empty());
}
