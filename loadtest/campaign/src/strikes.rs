//! The campaign of kills: which, in what order, and when.

use std::io;
use std::thread;
use std::time::Duration;

use crate::{Campaign, Options, Report};

/// Least and most milliseconds of load before a strike, so that it falls at no particular moment.
const PAUSE_MS: std::ops::Range<u64> = 20..300;
/// One of so many strikes falls before what the one before it has struck is back.
const HASTY: usize = 4;

/// How much is to be killed.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Kills of the server.
    pub server_kills: usize,
    /// Kills of Postgres.
    pub postgres_kills: usize,
    /// Orders that must have been answered at the end, whatever the answer.
    pub answered: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    Server,
    Postgres,
}

/// Runs a whole campaign. `told` hears of each strike.
pub fn run(options: &Options, plan: Plan, mut told: impl FnMut(&Report)) -> io::Result<Report> {
    let mut dice = fastrand::Rng::with_seed(options.seed);
    let mut campaign = Campaign::begin(options)?;
    let targets = plan.targets(&mut dice);
    let each = plan.answered / (targets.len() as u64 + 1);
    for (place, target) in (1_u64..).zip(&targets) {
        thread::sleep(Duration::from_millis(dice.u64(PAUSE_MS)));
        let is_hasty = dice.usize(..HASTY) == 0;
        let moment = match target {
            Target::Server => campaign.kill_server()?,
            Target::Postgres => campaign.kill_postgres()?,
        };
        if !is_hasty {
            let after = campaign.wait_for_recovery(moment)?;
            campaign.report.recoveries(*target == Target::Server).push(after);
            campaign.scene.wait_for(each * place)?;
        }
        told(&campaign.report);
    }
    campaign.scene.wait_for(plan.answered)?;
    campaign.finish()
}

impl Plan {
    fn targets(self, dice: &mut fastrand::Rng) -> Vec<Target> {
        let mut targets = vec![Target::Server; self.server_kills];
        targets.resize(self.server_kills + self.postgres_kills, Target::Postgres);
        dice.shuffle(&mut targets);
        targets
    }
}
