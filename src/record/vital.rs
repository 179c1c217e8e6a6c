//! Whether every probe advances, or is known not to: what the watchdog is fed on.
//!
//! The engine reports a silent probe within its deadline. One that is silent beyond every deadline and yet not reported
//! means that the engine itself does not work any more: then, and only then, a restart helps.

use std::collections::BTreeMap;

use model::time::NS_PER_S;
use model::{Dictionary, Entity, Frame, catalogue};

/// Longer than the longest deadline of any probe (a driver that nobody used may take 30 s to wake), nanoseconds.
const SILENCE_NS: u64 = 60 * NS_PER_S;

/// What is known of each probe.
#[derive(Debug)]
pub(crate) struct Vital {
    dictionary: Dictionary,
    probes: BTreeMap<String, Probe>,
    silence_ns: u64,
}

#[derive(Debug)]
struct Probe {
    /// When it last told something.
    advanced: u64,
    /// What is wrong with it, as reported: `stuck`, `crashed`, `missing`.
    trouble: Option<String>,
}

impl Vital {
    /// These probes begin at an instant of the monotonic clock, and are read so often (nanoseconds).
    pub(crate) fn new(probes: impl IntoIterator<Item = String>, now: u64, interval_ns: u64) -> Self {
        let probes = probes.into_iter().map(|probe| (probe, Probe { advanced: now, trouble: None })).collect();
        Self { dictionary: Dictionary::default(), probes, silence_ns: SILENCE_NS.saturating_add(interval_ns) }
    }

    /// Takes in what a probe told, or what the engine told of one, at an instant of the monotonic clock.
    pub(crate) fn take(&mut self, frame: &Frame, now: u64) {
        self.dictionary.follow(frame);
        if let Some(probe) = self.probes.get_mut(&frame.probe) {
            probe.advanced = now;
            probe.trouble = None;
        }
        if frame.probe != "engine" {
            return;
        }
        for (id, reading) in &frame.samples {
            let Some(key) = self.dictionary.key(*id) else { continue };
            let Entity::Probe(name) = &key.entity else { continue };
            if key.metric.as_str() != catalogue::PROBE_STATE.name {
                continue;
            }
            if let (Some(probe), Some(state)) =
                (self.probes.get_mut(name), reading.good().and_then(model::Value::as_text))
            {
                probe.advanced = now;
                probe.trouble = (state.raw() != "ok").then(|| state.raw().to_owned());
            }
        }
    }

    /// Whether every probe has told something of late, or is reported not to.
    pub(crate) fn is_well(&self, now: u64) -> bool {
        let well = |probe: &Probe| probe.trouble.is_some() || now.saturating_sub(probe.advanced) <= self.silence_ns;
        self.probes.values().all(well)
    }

    /// The probes that are reported not to advance, for a person.
    pub(crate) fn troubled(&self) -> Vec<String> {
        let told = |(name, probe): (&String, &Probe)| Some(format!("{name} {}", probe.trouble.as_deref()?));
        self.probes.iter().filter_map(told).collect()
    }
}

#[cfg(test)]
mod tests {
    use model::{Draft, Stamp};

    use super::*;

    #[test]
    fn a_silent_probe_is_well_only_while_it_is_reported() {
        let mut vital = Vital::new(["nvml".to_owned(), "host".to_owned()], 0, NS_PER_S);
        let (mut host, mut engine) = (Dictionary::default(), Dictionary::default());
        let mut host_tells = |vital: &mut Vital, now: u64| {
            vital.take(&Draft::new("host", Stamp::new(now, 0)).seal(&mut host), now);
        };
        let mut engine_tells = |vital: &mut Vital, now: u64, state: &str| {
            let mut draft = Draft::new("engine", Stamp::new(now, 0));
            draft.read(&Entity::Probe("nvml".to_owned()), catalogue::PROBE_STATE, state);
            vital.take(&draft.seal(&mut engine), now);
        };
        let late = SILENCE_NS * 2;
        host_tells(&mut vital, late);
        assert!(!vital.is_well(late), "nvml told nothing and nobody said so");
        engine_tells(&mut vital, late, "stuck");
        assert!(vital.is_well(late));
        assert_eq!(vital.troubled(), ["nvml stuck"]);
        host_tells(&mut vital, late * 2);
        assert!(vital.is_well(late * 2), "it stays reported");
        engine_tells(&mut vital, late * 2, "ok");
        host_tells(&mut vital, late * 3);
        assert!(!vital.is_well(late * 3), "it was well and fell silent");
    }
}
