//! What a browser asks of any host but the server's: a proxy that answers nobody.

use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Listens for as long as the process lives.
#[derive(Clone)]
pub struct Trap {
    pub port: u16,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Trap {
    pub fn set() -> std::io::Result<Trap> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let trap = Trap {
            port: listener.local_addr()?.port(),
            asked: Arc::default(),
        };
        let asked = trap.asked.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let line = first_line(stream);
                // Chromium's own, whatever it is told.
                if [".google.com", ".googleapis.com"]
                    .iter()
                    .any(|own| line.contains(own))
                {
                    continue;
                }
                let mut asked = asked.lock().unwrap_or_else(PoisonError::into_inner);
                asked.push(line);
            }
        });
        Ok(trap)
    }

    /// What was asked for since the last call, as the first line of each request.
    pub fn caught(&self) -> Vec<String> {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut asked)
    }
}

fn first_line(stream: TcpStream) -> String {
    let mut line = String::new();
    let patience = stream.set_read_timeout(Some(Duration::from_secs(1)));
    let read = patience.and_then(|()| BufReader::new(stream).read_line(&mut line));
    match read {
        Ok(_) => line.trim_end().to_owned(),
        Err(error) => format!("unreadable: {error}"),
    }
}
