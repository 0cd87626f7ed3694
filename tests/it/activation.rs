//! Sockets that the server is passed (`sd_listen_fds(3)`): it serves from them, and a restart is nothing that clients
//! notice.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixListener;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use crate::support::books::{Books, FUNDS, Order};
use crate::support::raw::{Connection, Request};
use crate::support::{
    BAD_CONFIGURATION, Server, SetsAtEnd, activated_command, ledger_command, new_data, on_both_engines,
    wait_until,
};

/// Restarts under load on each engine.
const RESTARTS: usize = 6;
/// Clients that keep a connection as long as they may; some of them pause between requests.
const KEEPERS: usize = 20;
/// Clients that open a connection for each request.
const VISITORS: usize = 4;
const CLIENTS: usize = KEEPERS + VISITORS;
/// Every so many keepers one pauses for so long, so that its connection rests when the server is told to end.
const THINKERS: usize = 4;
const THINK: Duration = Duration::from_millis(20);
/// Replies to each client, on average, between two restarts.
const CALLS: usize = 20;

/// Connections that come at once.
const BURST: usize = 64;

/// How long a server may take to end, or to do anything else that is waited for.
const PATIENCE: Duration = Duration::from_secs(20);

on_both_engines!(
    no_request_is_lost_by_restarts_under_load,
    who_connects_between_two_servers_is_served_by_the_next,
    each_of_two_sockets_is_served,
    two_sockets_of_one_address_spread_connections,
    a_burst_is_shared_by_all_who_accept_from_one_socket,
    a_socket_stands_in_for_the_setting,
    a_server_waits_for_the_last_one_to_end,
    a_hangup_during_a_start_is_a_reload_after_it,
    an_edit_during_a_start_is_seen_after_it,
);

fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

fn no_request_is_lost_by_restarts_under_load(engine: &str) {
    let socket = listener();
    let mut server = Server::start_activated(new_data(), &[&socket], &["--io", engine], &[]);
    let books = Books::open(&server, CLIENTS + 1);
    let load = Load::new(server.address(), &books);
    let heads: Vec<_> = thread::scope(|scope| {
        let _over = SetsAtEnd(&load.over);
        for client in 0..CLIENTS {
            let load = &load;
            scope.spawn(move || load.call_until_over(client));
        }
        let restart = |_| {
            load.wait_for_calls();
            server.terminate();
            assert_eq!(server.wait(PATIENCE).code(), Some(0));
            let head = server.verify(None);
            server.restart_activated(&[&socket]);
            head
        };
        let heads = (0..RESTARTS).map(restart).collect();
        load.wait_for_calls();
        heads
    });
    let lost = load.lost.into_inner().unwrap();
    assert!(lost.is_empty(), "lost {} requests: {lost:#?}", lost.len());
    for head in heads {
        server.verify(Some(&head));
    }
    let balances = books.balances(&mut Connection::open(server.address()));
    let posted = i64::try_from(load.posted.into_inner()).unwrap();
    assert_eq!(
        balances[CLIENTS],
        FUNDS + posted,
        "each acknowledged order has moved a cent there, and no other"
    );
}

/// Clients under way, and what went wrong for them.
struct Load<'a> {
    address: SocketAddr,
    books: &'a Books,
    over: AtomicBool,
    answered: AtomicUsize,
    posted: AtomicUsize,
    lost: Mutex<Vec<String>>,
}

impl<'a> Load<'a> {
    fn new(address: SocketAddr, books: &'a Books) -> Self {
        Self {
            address,
            books,
            over: AtomicBool::new(false),
            answered: AtomicUsize::new(0),
            posted: AtomicUsize::new(0),
            lost: Mutex::default(),
        }
    }

    /// Waits until clients have been answered so many times more, or something was lost.
    fn wait_for_calls(&self) {
        let wanted = self.answered.load(Ordering::Relaxed) + CALLS * CLIENTS;
        wait_until(PATIENCE, || {
            let answered = self.answered.load(Ordering::Relaxed);
            let is_done = answered >= wanted || !self.lost.lock().unwrap().is_empty();
            is_done.then_some(()).ok_or_else(|| format!("{answered} of {wanted} answered"))
        });
    }

    /// One request after the other. A connection is used until the server says that it closes, or has closed it while it
    /// rested.
    fn call_until_over(&self, client: usize) {
        let mut number = 0;
        while !self.over.load(Ordering::Relaxed) {
            let Ok(mut connection) = Connection::try_open(self.address) else {
                return self.note(client, number, "the connection was refused");
            };
            while !self.over.load(Ordering::Relaxed) && !connection.is_over() {
                if connection.try_send(self.request(client, number)).is_err() {
                    // Closed in this moment, and not all was taken: it goes out again on the next connection.
                    break;
                }
                let reply = match connection.try_reply() {
                    Ok(reply) => reply,
                    Err(error) => return self.note(client, number, &format!("sent, then {error}")),
                };
                match reply.status {
                    200 => {}
                    201 => drop(self.posted.fetch_add(1, Ordering::Relaxed)),
                    _ => return self.note(client, number, &format!("{reply:?}")),
                }
                self.answered.fetch_add(1, Ordering::Relaxed);
                number += 1;
                if reply.closes() || client >= KEEPERS {
                    break;
                }
                if client.is_multiple_of(THINKERS) {
                    thread::sleep(THINK);
                }
            }
        }
    }

    fn request(&self, client: usize, number: usize) -> Vec<u8> {
        if number.is_multiple_of(2) {
            return self.books.get(&format!("/api/v1/accounts/{}", self.books.accounts[client])).bytes();
        }
        let key = format!("{client}-{number}");
        self.books.request(&Order { key, debit: client, credit: CLIENTS, amount: 1 }).bytes()
    }

    fn note(&self, client: usize, number: usize, what: &str) {
        self.lost.lock().unwrap().push(format!("client {client}, request {number}: {what}"));
    }
}

fn who_connects_between_two_servers_is_served_by_the_next(engine: &str) {
    let socket = listener();
    let address = socket.local_addr().unwrap();
    let mut server = Server::start_activated(new_data(), &[&socket], &["--io", engine], &[]);
    let mut clients = Vec::new();
    for _ in 0..3 {
        server.terminate();
        assert_eq!(server.wait(PATIENCE).code(), Some(0));
        clients.extend((0..20).map(|_| {
            let mut client = Connection::open(address);
            client.send(Request::get("/health").bytes());
            client
        }));
        server.restart_activated(&[&socket]);
        for mut client in clients.drain(..) {
            assert_eq!(client.reply().status, 200);
        }
    }
    // Killed, it leaves the socket as it is too.
    server.kill();
    let mut client = Connection::open(address);
    client.send(Request::get("/health").bytes());
    server.restart_activated(&[&socket]);
    assert_eq!(client.reply().status, 200);
}

fn each_of_two_sockets_is_served(engine: &str) {
    let sockets = [listener(), TcpListener::bind("[::1]:0").unwrap()];
    let arguments = ["--io", engine, "--workers", "3"];
    let _server = Server::start_activated(new_data(), &[&sockets[0], &sockets[1]], &arguments, &[]);
    for socket in &sockets {
        // Several, so that each worker of a shared socket gets its turn.
        for _ in 0..10 {
            let mut client = Connection::open(socket.local_addr().unwrap());
            assert_eq!(client.call(Request::get("/health").bytes()).status, 200);
        }
    }
}

/// A socket for each worker, between which the kernel chooses (`SO_REUSEPORT`).
fn two_sockets_of_one_address_spread_connections(engine: &str) {
    let share = |address: SocketAddr| {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_reuse_port(true).unwrap();
        socket.bind(&address.into()).unwrap();
        socket.listen(128).unwrap();
        TcpListener::from(socket)
    };
    let first = share("127.0.0.1:0".parse().unwrap());
    let address = first.local_addr().unwrap();
    let second = share(address);
    let arguments = ["--io", engine, "--workers", "2"];
    let server = Server::start_activated(new_data(), &[&first, &second], &arguments, &[]);
    let line = server.start_lines().last().unwrap();
    assert!(line.contains(&format!("listening on http://{address}, a socket")), "{line}");
    let clients: Vec<_> = (0..BURST).map(|_| Connection::open(address)).collect();
    // By chance a core gets fewer than 8 of 64 once in 10^9 times.
    assert_shared(clients, 8);
}

/// All clients of before come at once when a server starts again.
fn a_burst_is_shared_by_all_who_accept_from_one_socket(engine: &str) {
    let socket = listener();
    let address = socket.local_addr().unwrap();
    let clients: Vec<_> = (0..BURST).map(|_| Connection::open(address)).collect();
    let arguments = ["--io", engine, "--workers", "2"];
    let _server = Server::start_activated(new_data(), &[&socket], &arguments, &[]);
    assert_shared(clients, 8);
}

/// Checks that each of two cores has so many of these connections at least.
#[track_caller]
fn assert_shared(mut clients: Vec<Connection>, least: usize) {
    for client in &mut clients {
        assert_eq!(client.call(Request::get("/health").bytes()).status, 200);
    }
    let scrape = clients[0].call(Request::get("/metrics").bytes());
    let text = String::from_utf8(scrape.body).unwrap();
    for core in ["0", "1"] {
        let series = format!("connections{{core=\"{core}\"}} ");
        let count = text.lines().find_map(|line| line.strip_prefix(&series)).unwrap();
        assert!(count.parse::<usize>().unwrap() >= least, "core {core} has {count}");
    }
}

fn a_socket_stands_in_for_the_setting(engine: &str) {
    let socket = listener();
    let server = Server::start_activated(new_data(), &[&socket], &["--io", engine], &[]);
    assert_eq!(server.address(), socket.local_addr().unwrap());
    let line = server.start_lines().last().unwrap();
    let told = "a socket of the service manager's; server.listen (127.0.0.1:0) is not used";
    assert!(line.contains(told), "{line}");
}

/// A process that ends with this value, and what it says.
struct Running {
    child: Child,
    log: mpsc::Receiver<String>,
}

impl Running {
    fn start(mut command: Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let (tell, log) = mpsc::channel();
        // Whoever listens may have gone.
        thread::spawn(move || lines.for_each(|line| drop(tell.send(line))));
        Self { child, log }
    }

    /// Waits for a line with all of this in it.
    #[track_caller]
    fn wait_for_line(&self, words: &[&str]) {
        let mut seen = Vec::new();
        while let Ok(line) = self.log.recv_timeout(PATIENCE) {
            if words.iter().all(|words| line.contains(words)) {
                return;
            }
            seen.push(line);
        }
        panic!("{words:?} was not said, but {seen:#?}");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn a_server_waits_for_the_last_one_to_end(engine: &str) {
    let socket = listener();
    let mut last = Server::start_activated(new_data(), &[&socket], &["--io", engine], &[]);
    let next = waiting_for(&last, &socket, &["--io", engine]);
    let mut client = Connection::open(last.address());
    assert_eq!(client.call(Request::get("/health").bytes()).status, 200);
    last.terminate();
    assert_eq!(last.wait(PATIENCE).code(), Some(0));
    next.wait_for_line(&["listening on http://"]);
    let mut client = Connection::open(last.address());
    assert_eq!(client.call(Request::get("/health").bytes()).status, 200);
}

/// A server in the midst of its start: it has read its settings, and waits for another one's ledger.
fn waiting_for(last: &Server, socket: &TcpListener, arguments: &[&str]) -> Running {
    let mut command = activated_command(last.data(), &[socket.as_fd()]);
    command.arg("serve").args(arguments);
    let next = Running::start(command);
    next.wait_for_line(&["is in use; waiting for the other server to end"]);
    next
}

fn a_hangup_during_a_start_is_a_reload_after_it(engine: &str) {
    let socket = listener();
    let mut last = Server::start_activated(new_data(), &[&socket], &["--io", engine], &[]);
    let next = waiting_for(&last, &socket, &["--io", engine]);
    let pid = next.child.id().to_string();
    assert!(Command::new("kill").args(["-HUP", &pid]).status().unwrap().success());
    last.terminate();
    assert_eq!(last.wait(PATIENCE).code(), Some(0));
    next.wait_for_line(&["settings reloaded", "SIGHUP"]);
}

fn an_edit_during_a_start_is_seen_after_it(engine: &str) {
    let socket = listener();
    let mut last = Server::start_activated(new_data(), &[&socket], &["--io", engine], &[]);
    let file = last.data().join("settings.yaml");
    std::fs::write(&file, "rate_limit: {per_second: 50}\n").unwrap();
    let next = waiting_for(&last, &socket, &["--io", engine, "--config", file.to_str().unwrap()]);
    std::fs::write(&file, "rate_limit: {per_second: 70}\n").unwrap();
    last.terminate();
    assert_eq!(last.wait(PATIENCE).code(), Some(0));
    next.wait_for_line(&["setting changed", "rate_limit.per_second", "70"]);
    next.wait_for_line(&["settings reloaded", "a file has changed"]);
}

/// Runs `serve` to its end, which must be a refusal; what it told.
fn refusal(sockets: &[BorrowedFd<'_>], arguments: &[&str]) -> String {
    let data = new_data();
    let mut command = activated_command(data.path(), sockets);
    command.arg("serve").args(arguments);
    let mut server = Running::start(command);
    wait_until(PATIENCE, || match server.child.try_wait().unwrap() {
        Some(status) => {
            assert_eq!(status.code(), Some(BAD_CONFIGURATION));
            Ok(())
        }
        None => Err("it runs".to_owned()),
    });
    server.log.iter().collect::<Vec<_>>().join("\n")
}

#[test]
fn what_is_no_listening_tcp_socket_is_refused() {
    let listening = listener();
    let unix = tempfile::tempdir().unwrap();
    let cases: [&dyn AsFd; 4] = [
        &UdpSocket::bind("127.0.0.1:0").unwrap(),
        &TcpStream::connect(listening.local_addr().unwrap()).unwrap(),
        &UnixListener::bind(unix.path().join("socket")).unwrap(),
        &File::open("/dev/null").unwrap(),
    ];
    for socket in cases {
        let told = refusal(&[socket.as_fd()], &[]);
        assert!(told.contains("descriptor 3, passed by LISTEN_FDS, is not a listening TCP socket"), "{told}");
    }
}

#[test]
fn more_sockets_than_workers_are_refused() {
    let sockets = [listener(), listener()];
    let told = refusal(&[sockets[0].as_fd(), sockets[1].as_fd()], &["--workers", "1"]);
    assert!(told.contains("2 listening sockets were passed for 1 workers"), "{told}");
}

#[test]
fn what_was_passed_to_another_process_is_not_taken() {
    let data = new_data();
    let mut command = ledger_command(data.path());
    command.stdin(Stdio::null()).stdout(Stdio::null()).envs([("LISTEN_PID", "1"), ("LISTEN_FDS", "1")]);
    let server = Server::start_by(command, data, &[], &[]);
    let mut client = Connection::open(server.address());
    assert_eq!(client.call(Request::get("/health").bytes()).status, 200);
}
