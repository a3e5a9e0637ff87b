//! What was served, counted by each core for itself, and added up by whoever reads it.
//!
//! A request changes these numbers once, when it is over; its core writes to memory that no other core writes to, and so
//! without locking it. What is read while a request ends may have some of its numbers and not yet others.

use std::array;
use std::cell::Cell;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{LazyLock, OnceLock};

/// Requests over which times are averaged: HAProxy's `TIME_STATS_SAMPLES`.
const SAMPLES: u64 = 1024;

/// Parts of single cores: as many as there are cores, and no more than would be worth their memory.
static OWN_PARTS: LazyLock<usize> = LazyLock::new(|| {
    const MOST: usize = 64;
    std::thread::available_parallelism().map_or(1, |cores| cores.get().min(MOST))
});

/// The first part is that of whoever has none of its own.
const SHARED: usize = 0;

thread_local! {
    static PART: Cell<usize> = const { Cell::new(SHARED) };
}

/// Says which core this thread counts for; no other thread does.
pub fn count_as(core: usize) {
    PART.set(if core < *OWN_PARTS { core + 1 } else { SHARED });
}

/// What was served by one frontend, backend or server. A core's part is there from its first request on.
#[derive(Debug)]
pub struct Served(Box<[OnceLock<Box<Counts>>]>);

/// One core's part.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Counts {
    /// Several threads write to it.
    is_shared: bool,
    counters: [AtomicU64; Counter::COUNT],
    statuses: [AtomicU64; 6],
    times: [Average; 4],
}

/// The average of the last [`SAMPLES`] times, in milliseconds, as HAProxy's `swrate_add` has it.
#[derive(Debug, Default)]
struct Average {
    sum: AtomicU64,
    samples: AtomicU64,
    most: AtomicU64,
}

/// What is counted, but statuses and times.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Counter {
    /// Requests that are over (HAProxy: `req_tot`).
    Requests,
    /// Connections of clients that were accepted (`conn_tot`, `stot` of frontends).
    Connections,
    /// Bytes of requests, as they went to servers (`bin`).
    BytesIn,
    /// Bytes of answers, as they went to clients (`bout`).
    BytesOut,
    /// Requests that were none (`ereq`).
    BadRequests,
    /// No connection to a server, or no server (`econ`).
    FailedConnections,
    /// Answers that were none, or did not come (`eresp`).
    FailedResponses,
    /// Clients that went before the end (`cli_abrt`).
    ClientAborts,
    /// Servers that did (`srv_abrt`).
    ServerAborts,
    /// Further attempts at the same server (`wretr`).
    Retries,
    /// Further attempts at another server (`wredis`).
    Redispatches,
    /// Connections to servers that were tried to open (`connect`).
    Connects,
    /// Idle ones that were used again (`reuse`).
    Reuses,
    /// Requests for which a server was chosen (`lbtot`).
    Balanced,
    /// Requests that a rule has refused (`dreq`).
    DeniedRequests,
    /// Servers' answers that a rule has withheld (`dresp`).
    DeniedResponses,
    /// Requests that the frontend itself has answered as was wanted (`intercepted`).
    Intercepted,
    /// Changes of heads that a rule has asked for and that could not be made (`wrew`).
    FailedRewrites,
}

impl Counter {
    const COUNT: usize = Self::FailedRewrites as usize + 1;
}

/// What rules have made of a request, where that is the reason of its answer.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Ruled {
    /// It is not.
    #[default]
    Not,
    /// The request is refused.
    Denied,
    /// The server's answer is withheld.
    Withheld,
    /// The frontend answers: with a redirection, statistics, or the state that a monitor asks for.
    Intercepted,
}

/// How a request ended.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// The status that the client got.
    pub status: Option<u16>,
    /// The one that the server said.
    pub said: Option<u16>,
    /// Bytes that went to servers.
    pub bytes_in: u64,
    /// Bytes that went to the client.
    pub bytes_out: u64,
    /// The first two letters of HAProxy's termination state.
    pub cause: [u8; 2],
    /// Milliseconds in the queue, for the connection, for the head, and all of it; `None`: no server has answered.
    pub times_ms: Option<[u64; 4]>,
    /// It was no request.
    pub refused: bool,
    /// A rule has had it end so.
    pub ruled: Ruled,
}

/// All cores' numbers together, at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    counters: [u64; Counter::COUNT],
    /// Answers by the first digit of their status, 1 to 5, and others.
    pub statuses: [u64; 6],
    /// In the queue, for the connection, for the head, and all of it: average and most, in milliseconds.
    pub times: [(u32, u32); 4],
}

impl Default for Served {
    fn default() -> Self {
        Self((0..=*OWN_PARTS).map(|_| OnceLock::new()).collect())
    }
}

impl Served {
    /// One more.
    pub fn count(&self, counter: Counter) {
        self.add(counter, 1);
    }

    /// So many more.
    pub fn add(&self, counter: Counter, number: u64) {
        self.own().add(counter, number);
    }

    /// A request is over. `of_server`: only what concerns the server that it went to counts.
    pub fn note(&self, outcome: &Outcome, of_server: bool) {
        use Counter::{
            BadRequests, BytesIn, BytesOut, ClientAborts, DeniedRequests, DeniedResponses, FailedConnections,
            FailedResponses, Intercepted, Requests, ServerAborts,
        };
        let own = self.own();
        own.add(Requests, 1);
        own.add(BytesIn, outcome.bytes_in);
        own.add(BytesOut, outcome.bytes_out);
        let status = if of_server { outcome.said } else { outcome.status };
        if !of_server || status.is_some() {
            let class = status.map_or(0, |status| status / 100);
            let place = if matches!(class, 1..=5) { usize::from(class) - 1 } else { 5 };
            own.raise(&own.statuses[place], 1);
        }
        if let Some(times) = outcome.times_ms {
            for (average, time_ms) in own.times.iter().zip(times) {
                average.note(time_ms);
            }
        }
        let ended = match (outcome.ruled, outcome.cause) {
            (_, [b'C' | b'c' | b'P', _]) if outcome.refused => BadRequests,
            (Ruled::Denied, _) => DeniedRequests,
            (Ruled::Withheld, _) => DeniedResponses,
            (Ruled::Intercepted, _) => Intercepted,
            // As in HAProxy: who goes while the request waits in a queue has broken nothing off.
            (_, [b'C', b'Q']) => return,
            (_, [b'C' | b'c', _]) => ClientAborts,
            (_, [b'S' | b's', b'C' | b'Q']) => FailedConnections,
            (_, [b'S' | b's' | b'P', b'H']) => FailedResponses,
            (_, [b'S' | b's', _]) => ServerAborts,
            _ => return,
        };
        own.add(ended, 1);
    }

    /// All cores' numbers together.
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        let mut sums = [(0_u64, 0_u64); 4];
        for counts in self.0.iter().filter_map(OnceLock::get) {
            let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
            for (total, count) in totals.counters.iter_mut().zip(&counts.counters) {
                *total += load(count);
            }
            for (total, count) in totals.statuses.iter_mut().zip(&counts.statuses) {
                *total += load(count);
            }
            for (at, average) in counts.times.iter().enumerate() {
                sums[at].0 += load(&average.sum);
                sums[at].1 += load(&average.samples).min(SAMPLES);
                let most = u32::try_from(load(&average.most)).unwrap_or(u32::MAX);
                totals.times[at].1 = totals.times[at].1.max(most);
            }
        }
        for (time, (sum, samples)) in totals.times.iter_mut().zip(sums) {
            time.0 = u32::try_from(sum.div_ceil(samples.max(1))).unwrap_or(u32::MAX);
        }
        totals
    }

    /// Begins anew with the longest times.
    pub fn forget_most(&self) {
        for average in self.0.iter().filter_map(OnceLock::get).flat_map(|counts| &counts.times) {
            average.most.store(0, Ordering::Relaxed);
        }
    }

    fn own(&self) -> &Counts {
        let part = PART.get();
        self.0[part].get_or_init(|| Box::new(Counts { is_shared: part == SHARED, ..Counts::default() }))
    }
}

impl Counts {
    fn add(&self, counter: Counter, number: u64) {
        self.raise(&self.counters[counter as usize], number);
    }

    fn raise(&self, count: &AtomicU64, number: u64) {
        if self.is_shared {
            count.fetch_add(number, Ordering::Relaxed);
        } else {
            // Nobody else writes: what was read is still so.
            count.store(count.load(Ordering::Relaxed).wrapping_add(number), Ordering::Relaxed);
        }
    }
}

impl Average {
    /// Two cores that share a part may lose one of two times: an average bears that.
    fn note(&self, time: u64) {
        let (sum, samples) = (self.sum.load(Ordering::Relaxed), self.samples.load(Ordering::Relaxed));
        if samples < SAMPLES {
            self.samples.store(samples + 1, Ordering::Relaxed);
            self.sum.store(sum.saturating_add(time), Ordering::Relaxed);
        } else {
            self.sum.store((sum - sum.div_ceil(SAMPLES)).saturating_add(time), Ordering::Relaxed);
        }
        if time > self.most.load(Ordering::Relaxed) {
            self.most.store(time, Ordering::Relaxed);
        }
    }
}

impl Totals {
    /// How many there were.
    pub fn of(&self, counter: Counter) -> u64 {
        self.counters[counter as usize]
    }

    /// The same, counted from where these were; times stay as they are.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let less = |now: &[u64], then: &[u64], at: usize| now[at].saturating_sub(then[at]);
        Self {
            counters: array::from_fn(|at| less(&self.counters, &before.counters, at)),
            statuses: array::from_fn(|at| less(&self.statuses, &before.statuses, at)),
            times: self.times,
        }
    }
}

/// The highest that a number has been.
#[derive(Debug, Default)]
pub struct Peak(AtomicU32);

impl Peak {
    /// It is this now.
    pub fn note(&self, now: u32) {
        // Almost always it has been higher before, which costs a load.
        if now > self.0.load(Ordering::Relaxed) {
            self.0.fetch_max(now, Ordering::Relaxed);
        }
    }

    /// The highest so far.
    pub fn highest(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    /// Begins anew.
    pub fn forget(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(cause: [u8; 2], status: u16) -> Outcome {
        let times_ms = Some([0, 1, 4, 5]);
        let (bytes_in, bytes_out, refused, ruled) = (10, 100, false, Ruled::Not);
        let (status, said) = (Some(status), Some(200));
        Outcome { status, said, bytes_in, bytes_out, cause, times_ms, refused, ruled }
    }

    #[test]
    fn cores_count_for_themselves_and_are_read_together() {
        let served = Served::default();
        for core in 0..3 {
            count_as(core);
            served.note(&outcome(*b"--", 200), true);
        }
        served.note(&outcome(*b"SH", 502), false);
        let totals = served.totals();
        assert_eq!(totals.of(Counter::Requests), 4);
        assert_eq!((totals.of(Counter::BytesIn), totals.of(Counter::BytesOut)), (40, 400));
        assert_eq!(totals.statuses, [0, 3, 0, 0, 1, 0]);
        assert_eq!(totals.of(Counter::FailedResponses), 1);
        assert_eq!(totals.times, [(0, 0), (1, 1), (4, 4), (5, 5)]);
        served.forget_most();
        assert_eq!(served.totals().times[3], (5, 0));
        assert_eq!(served.totals().since(&totals).of(Counter::Requests), 0);
    }

    #[test]
    fn an_end_counts_for_whoever_caused_it() {
        for (cause, refused, counter) in [
            (b"PR", true, Counter::BadRequests),
            (b"cR", true, Counter::BadRequests),
            (b"CD", false, Counter::ClientAborts),
            (b"SC", false, Counter::FailedConnections),
            (b"sQ", false, Counter::FailedConnections),
            (b"sH", false, Counter::FailedResponses),
            (b"PH", false, Counter::FailedResponses),
            (b"SD", false, Counter::ServerAborts),
        ] {
            let served = Served::default();
            served.note(&Outcome { refused, ..outcome(*cause, 500) }, false);
            assert_eq!(served.totals().of(counter), 1, "{}", String::from_utf8_lossy(cause));
        }
    }

    #[test]
    fn what_a_rule_has_decided_is_nobodys_failure() {
        for (cause, ruled, counter) in [
            (b"PR", Ruled::Denied, Counter::DeniedRequests),
            (b"PH", Ruled::Withheld, Counter::DeniedResponses),
            (b"LR", Ruled::Intercepted, Counter::Intercepted),
        ] {
            let served = Served::default();
            served.note(&Outcome { ruled, ..outcome(*cause, 403) }, false);
            let totals = served.totals();
            assert_eq!((totals.of(counter), totals.of(Counter::FailedResponses)), (1, 0), "{ruled:?}");
            assert_eq!(totals.statuses, [0, 0, 0, 1, 0, 0]);
            // The server has said something else.
            let served = Served::default();
            served.note(&Outcome { ruled, ..outcome(*cause, 403) }, true);
            assert_eq!(served.totals().statuses, [0, 1, 0, 0, 0, 0]);
        }
    }

    #[test]
    fn an_average_is_of_the_last_ones() {
        let average = Average::default();
        for _ in 0..SAMPLES {
            average.note(100);
        }
        for _ in 0..20 * SAMPLES {
            average.note(0);
        }
        assert_eq!(average.sum.load(Ordering::Relaxed) / SAMPLES, 0);
        assert_eq!(average.most.load(Ordering::Relaxed), 100);
    }

    #[test]
    fn a_peak_stays_until_it_is_forgotten() {
        let peak = Peak::default();
        for now in [1, 5, 3] {
            peak.note(now);
        }
        assert_eq!(peak.highest(), 5);
        peak.forget();
        assert_eq!(peak.highest(), 0);
    }
}
