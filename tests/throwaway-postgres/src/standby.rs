//! Standbys: copies of a running cluster that follow it and can take its place.

use crate::cluster::Cluster;
use crate::error::Error;
use crate::site::Site;

/// Whether a commit of the primary waits for the standby.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replication {
    /// It does: what was acknowledged is on the standby's disk.
    Synchronous,
    /// It does not: a promoted standby may lack the last commits.
    Asynchronous,
}

impl Cluster {
    /// A standby of this cluster that has caught up.
    pub fn standby(&self, replication: Replication) -> Result<Self, Error> {
        let site = Site::new(self.site().parent.clone(), self.site().password.clone())?;
        let name = format!("standby_{}", site.port);
        site.run("pg_basebackup", |command| {
            let primary = format!("{} application_name={name}", self.site().conninfo());
            let data = site.data();
            command.args(["--dbname", &primary, "--checkpoint=fast", "--no-sync", "--wal-method=stream"]);
            command.arg("--write-recovery-conf").arg("--pgdata").arg(data);
        })?;
        let standby = Self::launch(site)?;
        let (names, state) = match replication {
            Replication::Synchronous => (format!("FIRST 1 ({name})"), "sync"),
            Replication::Asynchronous => (String::new(), "async"),
        };
        self.set("synchronous_standby_names", &names)?;
        let attached = format!(
            "select state = 'streaming' and sync_state = '{state}' from pg_stat_replication \
             where application_name = '{name}'"
        );
        self.wait_for_sql("a standby that follows", &attached)?;
        Ok(standby)
    }

    /// Makes a standby take writes. Returns when it does.
    pub fn promote(&self) -> Result<(), Error> {
        self.query("postgres", "select pg_promote(false)")?;
        self.wait_for_sql("the promotion", "select not pg_is_in_recovery()")?;
        // What it has copied: its own commits must wait for nobody.
        self.set("synchronous_standby_names", "")
    }
}
