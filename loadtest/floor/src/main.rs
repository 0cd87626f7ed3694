//! Servers that do as little as a server can: they bound what ringledger could reach. All give the reply that
//! ringledger gives to `GET /plaintext` to every request, on one thread; `loadtest compare`
//! runs them side by side. They keep no deadline, log nothing and end with SIGTERM's default action.

mod by_fd;
mod heads;
mod hyper_epoll;
mod raw_epoll;
mod raw_ring;
mod reply;

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, ValueEnum};
use core_affinity::CoreId;

/// The allocator of ringledger, so that it makes no difference.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A server that does as little as a server can.
#[derive(Parser)]
#[command(version, about)]
struct Options {
    #[arg(long)]
    server: Kind,
    /// Where to listen; port 0 takes a free one, which is told.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Core to be pinned to [default: any].
    #[arg(long, value_name = "N")]
    core: Option<usize>,
    /// Never sleep (raw-epoll and raw-ring).
    #[arg(long)]
    spin: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// epoll, a canned reply.
    RawEpoll,
    /// `io_uring`, a canned reply.
    RawRing,
    /// hyper on tokio's sockets.
    HyperEpoll,
}

fn main() -> ExitCode {
    let options = Options::parse();
    if options.spin && options.server == Kind::HyperEpoll {
        Options::command().error(ErrorKind::ArgumentConflict, "hyper-epoll cannot spin").exit();
    }
    match run(&options) {
        Err(error) => {
            eprintln!("floor: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> io::Result<Infallible> {
    if let Some(id) = options.core
        && !core_affinity::set_for_current(CoreId { id })
    {
        return Err(io::Error::other(format!("core {id} is not one this process may run on")));
    }
    let listener = TcpListener::bind(options.listen)?;
    // Accepted sockets inherit it.
    rustix::net::sockopt::set_tcp_nodelay(&listener, true)?;
    eprintln!("listening on http://{}", listener.local_addr()?);
    match options.server {
        Kind::RawEpoll => raw_epoll::serve(listener, options.spin),
        Kind::RawRing => raw_ring::serve(listener, options.spin),
        Kind::HyperEpoll => hyper_epoll::serve(listener),
    }
}
