//! Rate limits: how many requests each user may send.
//!
//! Owns a bucket for each user who has lately sent something, shared by all cores, so that the limit is one for the
//! process whatever connections a user's requests come on. A bucket is one word, the time at which it will be full
//! again (the generic cell rate algorithm, ITU-T I.371 annex A), changed by compare-and-swap: no core waits for
//! another. Off, a request costs one load. Knows no route: who may be limited is for the caller to say.

use std::hash::{BuildHasher, RandomState};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::models::UserId;

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// Sets of buckets; with [`WAYS`] 65,536 users in 1 MiB, whoever comes. Beyond it the bucket that is nearest to full
/// makes room, and its user gains at most a burst.
const SETS: usize = 16_384;
/// Buckets of a set: what a look-up compares, in one cache line.
const WAYS: usize = 4;

const SECOND_NS: u64 = 1_000_000_000;

/// The limits of one process.
pub struct RateLimiter {
    /// Requests a second in the upper half, burst in the lower one; 0 for no limit.
    rule: AtomicU64,
    begin: Instant,
    /// Keyed at random, so that nobody can choose users of one set.
    hasher: RandomState,
    /// Made when a limit is first set.
    sets: OnceLock<Box<[Set]>>,
}

#[derive(Default)]
#[repr(align(64))]
struct Set([Bucket; WAYS]);

const _: () = assert!(size_of::<Set>() == 64);

#[derive(Default)]
struct Bucket {
    /// Hash of the user's id; 0 for nobody's.
    owner: AtomicU64,
    /// When it will be full, in nanoseconds of the limiter's life. A time that has passed says nothing, so its place
    /// is free.
    full_at_ns: AtomicU64,
}

/// Where a user stands after a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Requests that a full bucket holds.
    pub burst: u32,
    /// Seconds in which an empty bucket fills.
    pub window_s: u64,
    /// Requests that the bucket holds now.
    pub remaining: u64,
    /// Seconds until it is full.
    pub full_in_s: u64,
    /// Seconds until it holds a request again; `None` if this one was let through.
    pub refused_for_s: Option<u64>,
}

impl RateLimiter {
    /// Without a limit.
    pub fn off() -> Self {
        Self {
            rule: AtomicU64::new(0),
            begin: Instant::now(),
            hasher: RandomState::new(),
            sets: OnceLock::new(),
        }
    }

    /// Limits each user to `per_second` requests a second, and `burst` at once after a rest; `None` for no limit. What
    /// users have spent is kept.
    pub fn set(&self, per_second: Option<u32>, burst: Option<u32>) {
        let rule = match per_second {
            None | Some(0) => 0,
            Some(per_second) => {
                self.sets.get_or_init(|| (0..SETS).map(|_| Set::default()).collect());
                u64::from(per_second) << 32 | u64::from(burst.unwrap_or(per_second).max(1))
            }
        };
        // A core that sees the rule before the buckets lets its request through.
        self.rule.store(rule, Ordering::Relaxed);
    }

    /// Takes a request of `user` at `now` from the bucket, if it holds one; `None` without a limit.
    pub fn admit(&self, user: UserId, now: Instant) -> Option<Standing> {
        let rule = self.rule.load(Ordering::Relaxed);
        if rule == 0 {
            return None;
        }
        let now_ns = nanoseconds(now.saturating_duration_since(self.begin));
        let bucket = self.bucket(user, now_ns)?;
        Some(spend(bucket, Rule::of(rule), now_ns))
    }

    /// The user's bucket, or one that nobody needs. Two cores that take the same place at once may charge a stranger
    /// for a request.
    fn bucket(&self, user: UserId, now_ns: u64) -> Option<&AtomicU64> {
        let owner = self.hasher.hash_one(user).max(1);
        let sets = self.sets.get()?;
        let Set(set) = &sets[set_index(owner)];
        if let Some(own) = set.iter().find(|bucket| bucket.owner.load(Ordering::Relaxed) == owner) {
            return Some(&own.full_at_ns);
        }
        let free = set.iter().min_by_key(|bucket| bucket.full_at_ns.load(Ordering::Relaxed))?;
        free.owner.store(owner, Ordering::Relaxed);
        free.full_at_ns.fetch_min(now_ns, Ordering::Relaxed);
        Some(&free.full_at_ns)
    }
}

/// How fast a bucket fills and how much it holds.
#[derive(Debug, Clone, Copy)]
struct Rule {
    /// Nanoseconds for one request.
    interval_ns: u64,
    burst: u32,
}

impl Rule {
    #[expect(clippy::cast_possible_truncation, reason = "the lower half")]
    const fn of(rule: u64) -> Self {
        Self { interval_ns: SECOND_NS / (rule >> 32), burst: rule as u32 }
    }

    const fn whole_ns(self) -> u64 {
        self.interval_ns * self.burst as u64
    }
}

fn spend(full_at_ns: &AtomicU64, rule: Rule, now_ns: u64) -> Standing {
    let whole_ns = rule.whole_ns();
    // A bucket of an earlier rule may be far from full; by this one it is at most empty.
    let missing = |full_at_ns: u64| full_at_ns.saturating_sub(now_ns).min(whole_ns);
    let holds_one = |missing_ns: u64| missing_ns + rule.interval_ns <= whole_ns;
    let spend = |full_at_ns: u64| {
        let missing_ns = missing(full_at_ns);
        Some(now_ns + missing_ns + if holds_one(missing_ns) { rule.interval_ns } else { 0 })
    };
    let before = full_at_ns.fetch_update(Ordering::Relaxed, Ordering::Relaxed, spend);
    let missing_before_ns = missing(before.unwrap_or_else(|unchanged| unchanged));
    let (missing_ns, refused_for_s) = if holds_one(missing_before_ns) {
        (missing_before_ns + rule.interval_ns, None)
    } else {
        let wait_ns = missing_before_ns + rule.interval_ns - whole_ns;
        (missing_before_ns, Some(wait_ns.div_ceil(SECOND_NS)))
    };
    Standing {
        burst: rule.burst,
        window_s: whole_ns.div_ceil(SECOND_NS),
        remaining: (whole_ns - missing_ns) / rule.interval_ns,
        full_in_s: missing_ns.div_ceil(SECOND_NS),
        refused_for_s,
    }
}

impl Standing {
    /// Tells the caller (draft-ietf-httpapi-ratelimit-headers-10).
    pub fn tell(&self, fields: &mut HeaderMap) {
        let policy = format!("\"default\";q={};w={}", self.burst, self.window_s);
        let state = format!("\"default\";r={};t={}", self.remaining, self.full_in_s);
        fields.insert(RATE_LIMIT_POLICY, visible(policy));
        fields.insert(RATE_LIMIT, visible(state));
    }
}

fn visible(text: String) -> HeaderValue {
    HeaderValue::try_from(text).expect("words, quotes and digits are visible ASCII")
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX / 2)
}

#[expect(clippy::cast_possible_truncation, reason = "the low bits are what is wanted")]
const fn set_index(owner: u64) -> usize {
    owner as usize % SETS
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn user(n: u128) -> UserId {
        UserId::from_uuid(Uuid::from_u128(n))
    }

    fn limiter(per_second: u32, burst: u32) -> RateLimiter {
        let limiter = RateLimiter::off();
        limiter.set(Some(per_second), Some(burst));
        limiter
    }

    fn after(limiter: &RateLimiter, ms: u64) -> Instant {
        limiter.begin + Duration::from_millis(ms)
    }

    #[test]
    fn a_rested_user_has_a_burst_and_then_the_rate() {
        let limiter = limiter(10, 3);
        let times = [0, 0, 0, 0, 99, 100, 100, 1_000, 1_000, 1_000, 1_000];
        let told = times.map(|ms| {
            let standing = limiter.admit(user(1), after(&limiter, ms)).unwrap();
            (standing.remaining, standing.refused_for_s)
        });
        let let_through = |remaining| (remaining, None);
        let refused = (0, Some(1));
        let burst = [let_through(2), let_through(1), let_through(0)];
        let rate = [refused, refused, let_through(0), refused];
        assert_eq!(told, [&burst[..], &rate, &burst, &[refused]].concat()[..]);
    }

    #[test]
    fn users_do_not_share_a_bucket() {
        let limiter = limiter(1, 1);
        for n in 0..1_000 {
            let standing = limiter.admit(user(n), after(&limiter, 0)).unwrap();
            assert_eq!(standing.refused_for_s, None, "{n}");
        }
        let standing = limiter.admit(user(7), after(&limiter, 0)).unwrap();
        let wanted = Standing { burst: 1, window_s: 1, remaining: 0, full_in_s: 1, refused_for_s: Some(1) };
        assert_eq!(standing, wanted);
    }

    #[test]
    fn a_crowd_beyond_the_buckets_is_never_refused_for_strangers() {
        let limiter = limiter(1, 1);
        for n in 0..2 * (SETS * WAYS) as u128 {
            let standing = limiter.admit(user(n), after(&limiter, 0)).unwrap();
            assert_eq!(standing.refused_for_s, None, "{n}");
        }
    }

    #[test]
    fn a_limit_is_off_changes_and_goes_while_users_are_known() {
        let limiter = RateLimiter::off();
        let ask = |ms| limiter.admit(user(1), after(&limiter, ms));
        assert_eq!(ask(0), None);
        limiter.set(Some(1), Some(1_000_000));
        for _ in 0..1_000 {
            assert_eq!(ask(0).unwrap().refused_for_s, None);
        }
        // What was spent of a larger bucket is at most all of a smaller one.
        limiter.set(Some(2), None);
        let standing = ask(0).unwrap();
        let wanted = Standing { burst: 2, window_s: 1, remaining: 0, full_in_s: 1, refused_for_s: Some(1) };
        assert_eq!(standing, wanted);
        assert_eq!(ask(500).unwrap().refused_for_s, None);
        limiter.set(None, None);
        assert_eq!(ask(500), None);
    }

    #[test]
    fn cores_share_a_bucket() {
        let limiter = limiter(1, 1_000);
        let now = after(&limiter, 0);
        let let_through = |_| limiter.admit(user(1), now).unwrap().refused_for_s.is_none();
        let count = || (0..1_000).filter(|n| let_through(*n)).count();
        // The user's bucket is there before two cores look for it.
        assert!(let_through(0));
        let both = std::thread::scope(|scope| {
            let others = scope.spawn(count);
            count() + others.join().unwrap()
        });
        assert_eq!(both, 999);
    }

    #[test]
    fn replies_tell_policy_and_state() {
        let standing =
            Standing { burst: 100, window_s: 1, remaining: 50, full_in_s: 30, refused_for_s: None };
        let mut fields = HeaderMap::new();
        standing.tell(&mut fields);
        assert_eq!(fields["ratelimit-policy"], "\"default\";q=100;w=1");
        assert_eq!(fields["ratelimit"], "\"default\";r=50;t=30");
    }
}
