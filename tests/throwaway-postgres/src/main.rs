//! A Postgres for as long as standard input is open: `cargo run -p throwaway-postgres -- fsync=off` prints its URL.

use std::error::Error;
use std::io;
use std::io::Write;

use throwaway_postgres::{Cluster, ClusterOptions};

fn main() -> Result<(), Box<dyn Error>> {
    let mut options = ClusterOptions::new();
    for argument in std::env::args().skip(1) {
        let (name, value) = argument.split_once('=').ok_or("usage: throwaway-postgres [SETTING=VALUE]...")?;
        options = options.setting(name, value);
    }
    let cluster = Cluster::start(&options)?;
    writeln!(io::stdout(), "{}", cluster.url("postgres"))?;
    io::copy(&mut io::stdin(), &mut io::sink())?;
    Ok(())
}
