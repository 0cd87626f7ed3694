//! A server that speaks just enough of the protocol (Postgres manual, "Message Formats") to let clients in or not, and to
//! answer the two questions about its sessions.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread::JoinHandle;

use tokio::sync::oneshot;

/// What it does with every client.
#[derive(Clone)]
pub(super) enum Part {
    Admits { read_only: &'static str, in_recovery: &'static str },
    Refuses { code: &'static str },
}

/// Lets clients in and answers `show transaction_read_only` and `pg_is_in_recovery()`.
pub(super) fn admits(read_only: &'static str, in_recovery: &'static str) -> Part {
    Part::Admits { read_only, in_recovery }
}

/// Refuses clients with this SQLSTATE.
pub(super) fn refuses(code: &'static str) -> Part {
    Part::Refuses { code }
}

/// A running server. Its thread ends with it.
pub(super) struct Scripted {
    address: String,
    first_hung_up: Option<oneshot::Receiver<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Scripted {
    pub(super) fn new(part: Part) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (tell, first_hung_up) = oneshot::channel();
        let thread = std::thread::spawn(move || serve(&listener, &part, tell));
        Self { address, first_hung_up: Some(first_hung_up), thread: Some(thread) }
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// When its first client has gone.
    pub(super) async fn hung_up(mut self) {
        self.first_hung_up.take().unwrap().await.unwrap();
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        // One that sends nothing ends the thread.
        drop(TcpStream::connect(&self.address).unwrap());
        self.thread.take().unwrap().join().unwrap();
    }
}

fn serve(listener: &TcpListener, part: &Part, tell: oneshot::Sender<()>) {
    let mut tell = Some(tell);
    loop {
        let (mut client, _) = listener.accept().unwrap();
        if read_message(&mut client, false).is_err() {
            break;
        }
        let (part, tell) = (part.clone(), tell.take());
        // Ends when its client hangs up, which may be after the server's end.
        std::thread::spawn(move || {
            // A client that hangs up is an end like any other.
            let _ = play(client, &part);
            if let Some(tell) = tell {
                let _ = tell.send(());
            }
        });
    }
}

fn play(mut client: TcpStream, part: &Part) -> io::Result<()> {
    let (read_only, in_recovery) = match part {
        Part::Refuses { code } => {
            let fields = format!("SFATAL\0C{code}\0Mscripted\0\0");
            return client.write_all(&message(b'E', fields.as_bytes()));
        }
        Part::Admits { read_only, in_recovery } => (read_only, in_recovery),
    };
    let ready = message(b'Z', b"I");
    client.write_all(&[message(b'R', &0_i32.to_be_bytes()), ready.clone()].concat())?;
    loop {
        let (kind, body) = read_message(&mut client, true)?;
        let query = String::from_utf8_lossy(&body).into_owned();
        let answer = match kind {
            b'Q' if query.contains("transaction_read_only") => read_only,
            b'Q' if query.contains("pg_is_in_recovery") => in_recovery,
            _ => return Ok(()),
        };
        let column = [b"c\0".as_slice(), &[0; 18]].concat();
        let description = [&1_i16.to_be_bytes(), column.as_slice()].concat();
        let length = i32::try_from(answer.len()).unwrap();
        let row = [&1_i16.to_be_bytes(), &length.to_be_bytes()[..], answer.as_bytes()].concat();
        let reply =
            [message(b'T', &description), message(b'D', &row), message(b'C', b"SHOW\0"), ready.clone()];
        client.write_all(&reply.concat())?;
    }
}

/// A message of the server.
fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = i32::try_from(body.len() + 4).unwrap();
    [&[kind], &length.to_be_bytes()[..], body].concat()
}

/// A message of the client; the first has no kind.
fn read_message(client: &mut TcpStream, has_kind: bool) -> io::Result<(u8, Vec<u8>)> {
    let mut kind = [0];
    if has_kind {
        client.read_exact(&mut kind)?;
    }
    let mut length = [0; 4];
    client.read_exact(&mut length)?;
    let mut body = vec![0; usize::try_from(i32::from_be_bytes(length)).unwrap() - 4];
    client.read_exact(&mut body)?;
    Ok((kind[0], body))
}
