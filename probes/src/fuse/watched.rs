//! What is known of one mount from one reading to the next, and how it is told.

use model::reading::count_as_f64;
use model::{Draft, Entity, Event, Metric, ProbeFault, Reading, catalogue as metrics, event};

use super::connection::Connection;
use super::juicefs::{CacheStats, HitRatio};
use super::mountinfo::{Kind, Mount};
use super::prober::{Answer, Cache, Call, Prober, Space};
use super::{DEADLINE, nanoseconds};

/// Requests that wait while nothing moves for this long mean that the remote hangs although the daemon answers.
const STANDSTILL_NS: u64 = 10_000_000_000;

/// Series that come from the daemon: they are stuck when it is.
const CACHE_SERIES: &[&Metric] = &[
    metrics::FUSE_HITS,
    metrics::FUSE_MISSES,
    metrics::FUSE_HIT_BYTES,
    metrics::FUSE_MISS_BYTES,
    metrics::FUSE_HIT_RATIO,
    metrics::FUSE_CACHE_BYTES,
    metrics::FUSE_CACHE_EVICTS,
    metrics::FUSE_REMOTE_ERRORS,
    metrics::FUSE_UPTIME,
];

/// One mount.
pub(super) struct Watched {
    pub(super) mount: Mount,
    pub(super) kind: Kind,
    pub(super) told: bool,
    pub(super) prober: Option<Prober>,
    pub(super) connection: Option<Connection>,
    pub(super) answer: Option<Answer>,
    /// Whether the answer is of this reading.
    pub(super) fresh: bool,
    /// The call that its thread is stuck in.
    pub(super) stuck: Option<Call>,
    /// Whether the reading before found it congested.
    congested: bool,
    /// Nothing has moved since then although requests wait.
    standing_since: Option<u64>,
    stats: Option<CacheStats>,
    ratio: HitRatio,
    percent: Option<f64>,
}

impl Watched {
    pub(super) fn new(mount: Mount, kind: Kind) -> Self {
        Self {
            mount,
            kind,
            told: false,
            prober: None,
            connection: None,
            answer: None,
            fresh: false,
            stuck: None,
            congested: false,
            standing_since: None,
            stats: None,
            ratio: HitRatio::default(),
            percent: None,
        }
    }

    pub(super) fn take(&mut self, answer: Answer) {
        match (&answer.space, &answer.cache) {
            (Space::Answered | Space::NotAsked, Cache::Found(stats)) => {
                if self.stats.as_ref().is_some_and(|before| stats.moved_since(before)) {
                    self.standing_since = None;
                }
                self.percent = self.ratio.take(stats);
                self.stats = Some(stats.clone());
            }
            (Space::Answered | Space::NotAsked, Cache::None) => self.stats = None,
            _ => {}
        }
        self.answer = Some(answer);
        self.fresh = true;
    }

    /// Requests wait in every reading, and the statistics show that nothing is done. Without statistics a busy mount
    /// looks the same, so nothing is claimed.
    pub(super) fn notice_standstill(&mut self, connection: &Connection, now: u64) {
        self.congested = connection.congested() && self.connection.as_ref().is_some_and(Connection::congested);
        match connection.waiting {
            Ok(waiting) if waiting > 0 && self.stats.is_some() => {
                self.standing_since.get_or_insert(now);
            }
            _ => self.standing_since = None,
        }
    }

    /// Finds out whether its thread became stuck or free; `again`: tells a call that was stuck before, too.
    pub(super) fn notice_calls(&mut self, entity: &Entity, now: u64, again: bool, draft: &mut Draft) {
        let call = self.prober.as_ref().and_then(Prober::call);
        let late = call.filter(|call| now.saturating_sub(call.since_ns) >= nanoseconds(DEADLINE));
        if let Some(before) = self.stuck.filter(|before| call != Some(*before)) {
            self.stuck = None;
            let freed = Event::new(draft.at, event::PROBE_FREED)
                .about(entity.clone())
                .with("probe", "fuse")
                .with("call", before.name)
                .with("stuck_ns", whole(now.saturating_sub(before.since_ns)));
            draft.events.push(freed);
        }
        let Some(late) = late else { return };
        if self.stuck.replace(late).is_some() && !again {
            return;
        }
        let stuck = Event::new(draft.at, event::PROBE_STUCK)
            .about(entity.clone())
            .with("probe", "fuse")
            .with("call", late.name)
            .with("since_ns", whole(late.since_ns));
        draft.events.push(match self.prober.as_ref().and_then(Prober::waits_in) {
            Some(function) => stuck.with("wchan", function),
            None => stuck,
        });
    }

    /// Tells what the kernel knows of it.
    pub(super) fn tell_mount(&self, entity: &Entity, draft: &mut Draft) {
        draft.read(entity, metrics::FUSE_TYPE, self.mount.fs_type.as_str());
        draft.read(entity, metrics::FUSE_SOURCE, self.mount.source.as_str());
        if let Some(connection) = &self.connection {
            let waiting = connection.waiting.clone().map(|count| Reading::from(count_as_f64(count)));
            draft.read(entity, metrics::FUSE_WAITING, waiting.unwrap_or_else(|why| why));
            let most = connection.max_background.clone().map(Reading::from);
            draft.read(entity, metrics::FUSE_MAX_BACKGROUND, most.unwrap_or_else(|why| why));
        }
    }

    /// Tells whether its daemon answers, and what it says.
    pub(super) fn tell_daemon(&self, entity: &Entity, now: u64, draft: &mut Draft) {
        if let Some(Call { name, since_ns }) = self.stuck {
            draft.read(entity, metrics::FUSE_STATE, "hung");
            draft.read(entity, metrics::FUSE_ANSWER_TIME, Reading::Stuck(since_ns, name.to_owned()));
            for metric in CACHE_SERIES.iter().copied().filter(|_| self.stats.is_some()) {
                draft.read(entity, metric, Reading::Stuck(since_ns, name.to_owned()));
            }
            return;
        }
        let Some(answer) = &self.answer else { return };
        self.tell_state(entity, answer, now, draft);
        self.tell_cache(entity, answer, now, draft);
    }

    fn tell_state(&self, entity: &Entity, answer: &Answer, now: u64, draft: &mut Draft) {
        let stands = self.standing_since.is_some_and(|since| now.saturating_sub(since) >= STANDSTILL_NS);
        let state: Option<Reading> = match &answer.space {
            Space::Disconnected => Some("disconnected".into()),
            Space::NotAsked => Some(Reading::Unsupported),
            Space::Elsewhere => {
                draft.faults.push(ProbeFault {
                    call: "statfs".to_owned(),
                    entity: Some(entity.clone()),
                    why: "its path leads to another file system from here".into(),
                    advice: Some(
                        "bind the node's root with rslave propagation, so that its mounts are seen".to_owned(),
                    ),
                });
                Some(Reading::Unsupported)
            }
            Space::Failed(why) => {
                draft.fault("statfs", Some(entity.clone()), why.as_str());
                None
            }
            // A late answer is none: the state is told again once it has come.
            Space::Answered if !self.fresh => None,
            Space::Answered if stands => Some("hung".into()),
            Space::Answered if self.congested => Some("congested".into()),
            Space::Answered => Some("ok".into()),
        };
        draft.samples.extend(state.map(|state| (model::SeriesKey::new(entity.clone(), metrics::FUSE_STATE), state)));
        if matches!(answer.space, Space::Answered) {
            let took = count_as_f64(answer.slowest_ns / 1_000);
            draft.read(entity, metrics::FUSE_ANSWER_TIME, self.aged(took, answer, now));
        }
    }

    fn tell_cache(&self, entity: &Entity, answer: &Answer, now: u64, draft: &mut Draft) {
        let absent = match (&answer.space, &answer.cache) {
            (Space::Disconnected, _) => Reading::Lost,
            (Space::Elsewhere, _) => Reading::Unsupported,
            // Nothing was asked of the statistics: nothing is known of them.
            (Space::Failed(_), _) => return,
            (_, Cache::Found(stats)) => {
                draft.read(entity, metrics::FUSE_PROVIDER, "juicefs");
                self.tell_stats(entity, stats, answer, now, draft);
                return;
            }
            (_, Cache::None) => {
                draft.read(entity, metrics::FUSE_PROVIDER, "none");
                Reading::Unsupported
            }
            (_, Cache::Denied) => {
                draft.faults.push(ProbeFault {
                    call: "open .stats".to_owned(),
                    entity: Some(entity.clone()),
                    why: "permission denied".into(),
                    advice: Some("run as the user who mounted it, or mount it with allow_other".to_owned()),
                });
                Reading::Denied
            }
            (_, Cache::Failed(why)) => {
                draft.fault("read .stats", Some(entity.clone()), why.as_str());
                return;
            }
        };
        for metric in CACHE_SERIES.iter().copied() {
            draft.read(entity, metric, absent.clone());
        }
    }

    fn tell_stats(&self, entity: &Entity, stats: &CacheStats, answer: &Answer, now: u64, draft: &mut Draft) {
        let counters = [
            (metrics::FUSE_HITS, stats.hits),
            (metrics::FUSE_MISSES, stats.misses),
            (metrics::FUSE_HIT_BYTES, stats.hit_bytes),
            (metrics::FUSE_MISS_BYTES, stats.miss_bytes),
            (metrics::FUSE_CACHE_EVICTS, stats.evicts),
            (metrics::FUSE_REMOTE_ERRORS, stats.remote_errors),
        ];
        for (metric, count) in counters {
            let reading = count.map_or(Reading::Unsupported, |count| self.aged(count, answer, now));
            draft.read(entity, metric, reading);
        }
        let gauges = [(metrics::FUSE_CACHE_BYTES, stats.bytes.map(count_as_f64)), (metrics::FUSE_UPTIME, stats.uptime)];
        for (metric, number) in gauges {
            let reading = number.map_or(Reading::Unsupported, |number| self.aged(number, answer, now));
            draft.read(entity, metric, reading);
        }
        // No interval with traffic yet: there is no ratio, which is not the same as a ratio of zero.
        if let Some(percent) = self.percent {
            draft.read(entity, metrics::FUSE_HIT_RATIO, self.aged(percent, answer, now));
        }
    }

    /// A value of this reading, or of an older one with its age.
    fn aged(&self, value: impl Into<model::Value>, answer: &Answer, now: u64) -> Reading {
        if self.fresh {
            Reading::Good(value.into())
        } else {
            Reading::Stale(value.into(), now.saturating_sub(answer.at_ns))
        }
    }
}

fn whole(ns: u64) -> i64 {
    i64::try_from(ns).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::juicefs;
    use super::*;

    const S: u64 = 1_000_000_000;

    fn watched() -> Watched {
        let line = b"42 27 0:39 / /data rw - fuse.juicefs JuiceFS:train rw\n";
        Watched::new(super::super::mountinfo::parse(line).remove(0), Kind::Fuse)
    }

    fn connection(waiting: u64) -> Connection {
        Connection { waiting: Ok(waiting), max_background: Ok(12) }
    }

    /// One reading: `waiting` requests, then an answer with these statistics.
    fn read(watched: &mut Watched, second: u64, waiting: u64, stats: Option<&str>) -> Option<Reading> {
        watched.fresh = false;
        watched.notice_standstill(&connection(waiting), second * S);
        watched.connection = Some(connection(waiting));
        let cache = stats.map_or(Cache::None, |stats| Cache::Found(juicefs::parse(stats.as_bytes()).unwrap()));
        watched.take(Answer { mount: 42, space: Space::Answered, cache, at_ns: second * S, slowest_ns: 7_000 });
        state(watched, second)
    }

    fn state(watched: &Watched, second: u64) -> Option<Reading> {
        let mut draft = Draft::default();
        watched.tell_daemon(&Entity::Mount("/data".to_owned()), second * S, &mut draft);
        let mut samples = draft.samples.into_iter();
        samples.find(|(key, _)| key.metric == metrics::FUSE_STATE.into()).map(|(_, reading)| reading)
    }

    fn totals(miss_bytes: u64) -> String {
        format!("juicefs_blockcache_hit_bytes 1\njuicefs_blockcache_miss_bytes {miss_bytes}\n")
    }

    #[test]
    fn requests_that_wait_while_nothing_moves_are_a_hang_though_the_daemon_answers() {
        let mut watched = watched();
        for second in 1..12 {
            assert_eq!(read(&mut watched, second, 1, Some(&totals(5))), Some("ok".into()), "{second}");
        }
        assert_eq!(read(&mut watched, 12, 1, Some(&totals(5))), Some("hung".into()));
        assert_eq!(read(&mut watched, 13, 1, Some(&totals(6))), Some("ok".into()), "it moved");
        assert_eq!(read(&mut watched, 30, 0, Some(&totals(6))), Some("ok".into()), "nobody waits");
    }

    #[test]
    fn a_busy_mount_is_not_hung() {
        let (mut moving, mut untold) = (watched(), watched());
        for second in 1..40 {
            assert_eq!(read(&mut moving, second, 3, Some(&totals(second))), Some("ok".into()));
            assert_eq!(read(&mut untold, second, 3, None), Some("ok".into()), "without statistics nothing is claimed");
        }
    }

    #[test]
    fn congestion_must_last() {
        let mut watched = watched();
        assert_eq!(read(&mut watched, 1, 11, None), Some("ok".into()));
        assert_eq!(read(&mut watched, 2, 11, None), Some("congested".into()));
        assert_eq!(read(&mut watched, 3, 2, None), Some("ok".into()));
    }

    #[test]
    fn a_late_answer_leaves_old_values_with_their_age_and_no_state() {
        let mut watched = watched();
        read(&mut watched, 1, 0, Some(&totals(5)));
        watched.fresh = false;
        let mut draft = Draft::default();
        watched.tell_daemon(&Entity::Mount("/data".to_owned()), 3 * S, &mut draft);
        let found = draft.samples.iter().find(|(key, _)| key.metric == metrics::FUSE_MISS_BYTES.into());
        assert_eq!(found.map(|(_, reading)| reading), Some(&Reading::Stale(5u64.into(), 2 * S)));
        assert_eq!(state(&watched, 3), None);
    }
}
