//! What a check says, and what that weighs on which kind of host. Pure: knows neither files nor terminals.

use std::borrow::Cow;

use serde::Serialize;

use crate::cli::Profile;

/// How bad a finding is, from good to bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Level {
    /// As wanted.
    Ok,
    /// Not as wanted or not known, and of no matter on this kind of host.
    Note,
    /// Costs latency or capacity.
    Warning,
    /// The service will not start or not hold what it promises.
    Blocker,
}

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// As wanted.
    Fits,
    /// Not as wanted.
    Differs,
    /// This host does not tell.
    Unknown,
}

/// What a difference weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weight {
    /// Worth knowing, no more.
    Note,
    /// A warning where the machine is ours to set up.
    Machine,
    /// A warning wherever the service runs for others.
    Server,
    /// A blocker everywhere.
    Blocker,
}

impl Weight {
    fn on(self, profile: Profile) -> Level {
        match (self, profile) {
            (Self::Blocker, _) => Level::Blocker,
            (Self::Server, Profile::Container | Profile::BareMetal) | (Self::Machine, Profile::BareMetal) => {
                Level::Warning
            }
            (Self::Server, Profile::Dev)
            | (Self::Machine, Profile::Dev | Profile::Container)
            | (Self::Note, _) => Level::Note,
        }
    }
}

/// One thing that is looked at, with everything about it that is the same on every host.
#[derive(Clone, Copy, Debug)]
pub(super) struct Check {
    /// Its name: the sysctl's, the limit's or the file's where there is one.
    pub(super) name: &'static str,
    /// What should be.
    pub(super) wanted: &'static str,
    /// What it does to the service.
    pub(super) why: &'static str,
    /// How to get it.
    pub(super) how: &'static str,
    /// Where that stands.
    pub(super) source: &'static str,
    /// What a difference weighs.
    pub(super) weight: Weight,
}

impl Check {
    /// With what this host has.
    pub(super) fn found(&self, now: impl Into<String>, fits: bool) -> Finding {
        self.finding(now.into(), if fits { State::Fits } else { State::Differs })
    }

    /// Where this host does not tell; `now` says why.
    pub(super) fn unknown(&self, now: impl Into<String>) -> Finding {
        self.finding(now.into(), State::Unknown)
    }

    fn finding(&self, now: String, state: State) -> Finding {
        Finding {
            name: self.name.into(),
            now,
            wanted: self.wanted.into(),
            why: self.why,
            how: self.how.into(),
            source: self.source,
            state,
            weight: self.weight,
        }
    }
}

/// A check and what this host has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) name: Cow<'static, str>,
    pub(super) now: String,
    pub(super) wanted: Cow<'static, str>,
    pub(super) why: &'static str,
    pub(super) how: Cow<'static, str>,
    pub(super) source: &'static str,
    pub(super) state: State,
    pub(super) weight: Weight,
}

impl Finding {
    /// Its level on a kind of host.
    pub(super) fn level(&self, profile: Profile) -> Level {
        match self.state {
            State::Fits => Level::Ok,
            State::Unknown => Level::Note,
            State::Differs => self.weight.on(profile),
        }
    }

    pub(super) fn wanting(mut self, wanted: impl Into<Cow<'static, str>>) -> Self {
        self.wanted = wanted.into();
        self
    }

    pub(super) fn by(mut self, how: impl Into<Cow<'static, str>>) -> Self {
        self.how = how.into();
        self
    }

    pub(super) fn weighing(mut self, weight: Weight) -> Self {
        self.weight = weight;
        self
    }
}

/// Findings about one part of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) title: &'static str,
    pub(super) findings: Vec<Finding>,
}

/// The worst level of all findings; [`Level::Ok`] of none.
pub(super) fn worst(groups: &[Group], profile: Profile) -> Level {
    let findings = groups.iter().flat_map(|group| &group.findings);
    findings.map(|finding| finding.level(profile)).max().unwrap_or(Level::Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHECK: Check =
        Check { name: "n", wanted: "w", why: "y", how: "h", source: "s", weight: Weight::Server };

    #[test]
    fn a_difference_weighs_by_profile() {
        use Level::{Blocker, Note, Warning};
        let cases = [
            (Weight::Note, [Note, Note, Note]),
            (Weight::Machine, [Note, Note, Warning]),
            (Weight::Server, [Note, Warning, Warning]),
            (Weight::Blocker, [Blocker, Blocker, Blocker]),
        ];
        for (weight, levels) in cases {
            let finding = CHECK.found("x", false).weighing(weight);
            let found = [Profile::Dev, Profile::Container, Profile::BareMetal].map(|on| finding.level(on));
            assert_eq!(found, levels, "{weight:?}");
        }
    }

    #[test]
    fn what_fits_or_is_not_told_is_no_warning() {
        let certain = |finding: Finding| finding.weighing(Weight::Blocker).level(Profile::BareMetal);
        assert_eq!(certain(CHECK.found("x", true)), Level::Ok);
        assert_eq!(certain(CHECK.unknown("x")), Level::Note);
    }

    #[test]
    fn the_verdict_is_the_worst_finding() {
        let group = |findings| Group { title: "t", findings };
        let groups =
            [group(vec![CHECK.found("x", true)]), group(vec![CHECK.found("x", false), CHECK.unknown("x")])];
        assert_eq!(worst(&groups, Profile::BareMetal), Level::Warning);
        assert_eq!(worst(&groups, Profile::Dev), Level::Note);
        assert_eq!(worst(&groups[..1], Profile::Container), Level::Ok);
        assert_eq!(worst(&[], Profile::Container), Level::Ok);
    }
}
