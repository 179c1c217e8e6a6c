//! Findings into incidents: one root each, its symptoms folded under it.
//!
//! The root is what no other finding explains, by the edges of the rulebook (rule, lag, relation of the entities);
//! never what was printed first. A cause that the driver itself names goes before any edge.

use std::collections::BTreeMap;

use model::time::{NS_PER_S, human_duration};
use model::{
    Action, Advice, Confidence, Entity, EntityKind, Evidence, Field, Incident, Reading, Root, Severity, Symptom, Value,
};
use sha2::{Digest, Sha256};

use super::held::Held;
use super::relation::{Tie, same, tie};
use super::world::{Here, World};
use crate::load::hex;
use crate::rule::{Relation, Rule, RuleIx, Rulebook};

/// Pieces of evidence in one incident.
const MOST_EVIDENCE: usize = 60;
/// How far apart the driver's "caused by previous Xid" may lie.
const NAMED_WITHIN: u64 = 600 * NS_PER_S;

/// How far apart a line that does not name its device may lie from one that does.
const NAMELESS_WITHIN: u64 = 10 * NS_PER_S;

/// One finding explains another: why we think so, best reasons first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Link {
    tie: Tie,
    /// `None`: the driver names the cause.
    relation: Option<Relation>,
    lag: u64,
    cause: usize,
}

/// The findings as incidents, in order of importance.
pub(super) fn correlate(book: &Rulebook, world: &World, held: &[Held], now: u64) -> Vec<Incident> {
    let links = links(book, world, held);
    let best: Vec<Option<Link>> = links.iter().map(|links| links.iter().min().copied()).collect();
    let mut groups: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for at in 0..held.len() {
        groups.entry(root_of(&best, at)).or_default().push(at);
    }
    let mut incidents: Vec<Incident> = groups
        .into_iter()
        .map(|(root, members)| Group { book, world, held, best: &best, links: &links, root, members, now }.incident())
        .collect();
    incidents.sort_by(|one, other| {
        let rank = |incident: &Incident| {
            (incident.ended.is_some(), std::cmp::Reverse(incident.severity), incident.started.axis_ns())
        };
        rank(one).cmp(&rank(other)).then_with(|| one.id.cmp(&other.id))
    });
    incidents
}

fn links(book: &Rulebook, world: &World, held: &[Held]) -> Vec<Vec<Link>> {
    let mut by_rule: BTreeMap<RuleIx, Vec<usize>> = BTreeMap::new();
    for (at, held) in held.iter().enumerate() {
        by_rule.entry(held.rule).or_default().push(at);
    }
    let mut links: Vec<Vec<Link>> = vec![Vec::new(); held.len()];
    for (cause, from) in held.iter().enumerate() {
        for edge in &book.rule(from.rule).explains {
            let symptoms = edge.symptoms.iter().filter_map(|rule| by_rule.get(rule)).flatten();
            for at in symptoms.copied().filter(|at| *at != cause) {
                let Some(to) = held.get(at).filter(|to| to.session == from.session) else { continue };
                let Some(lag) = lag(from, to).filter(|lag| *lag <= edge.within_ns) else { continue };
                let tie = match unplaced(book, from) || unplaced(book, to) {
                    true if edge.relation != Relation::Node => (lag <= NAMELESS_WITHIN).then_some(Tie::Guessed),
                    _ => tie(&world.inventory, &from.entity, &to.entity, edge.relation, lag),
                };
                if let (Some(tie), Some(list)) = (tie, links.get_mut(at)) {
                    list.push(Link { tie, relation: Some(edge.relation), lag, cause });
                }
            }
        }
    }
    for (at, to) in held.iter().enumerate() {
        let named =
            book.rule(to.rule).names_cause.as_ref().and_then(|field| to.fields.get(field)).and_then(Field::as_int);
        let Some(code) = named else { continue };
        for (cause, from) in held.iter().enumerate() {
            let fits = cause != at && from.kind == to.kind && from.code == Some(code) && from.session == to.session;
            let lag = lag(from, to).filter(|lag| *lag <= NAMED_WITHIN);
            if let (true, Some(lag), Some(list)) =
                (fits && same(&world.inventory, &from.entity, &to.entity), lag, links.get_mut(at))
            {
                list.push(Link { tie: Tie::Known, relation: None, lag, cause });
            }
        }
    }
    links
}

/// A finding about a device whose line does not say which.
fn unplaced(book: &Rulebook, held: &Held) -> bool {
    held.entity == Entity::Node && book.rule(held.rule).entity != EntityKind::Node
}

/// The time between a cause and the beginning of its symptom, in either direction; nought while the cause lasts.
fn lag(cause: &Held, symptom: &Held) -> Option<u64> {
    let (from, to, at) = (cause.started.axis_ns(), cause.last.axis_ns(), symptom.started.axis_ns());
    Some(if at < from { from - at } else { at.saturating_sub(to) })
}

fn root_of(best: &[Option<Link>], from: usize) -> usize {
    let mut here = from;
    // Edges have no circle; a cause that the driver names could close one, so the walk is bounded.
    for _ in 0..best.len() {
        match best.get(here).copied().flatten() {
            Some(link) if link.cause != from => here = link.cause,
            _ => break,
        }
    }
    here
}

/// The findings of one incident.
struct Group<'a> {
    book: &'a Rulebook,
    world: &'a World,
    held: &'a [Held],
    best: &'a [Option<Link>],
    links: &'a [Vec<Link>],
    root: usize,
    members: Vec<usize>,
    now: u64,
}

impl Group<'_> {
    fn incident(&self) -> Incident {
        let root = self.root();
        let rule = self.book.rule(root.rule);
        let members = || self.members.iter().filter_map(|at| self.held.get(*at));
        let symptoms: Vec<&Held> = members().filter(|held| !std::ptr::eq(*held, root)).collect();
        let (confidence, reason) = self.confidence(rule, &symptoms);
        let entity = self.placed(root, rule, &symptoms);
        let started = members().map(|held| held.started).min_by_key(|at| at.axis_ns()).unwrap_or(root.started);
        let last = members().map(|held| held.last).max_by_key(|at| at.axis_ns()).unwrap_or(root.last);
        Incident {
            id: id(root),
            severity: members().map(|held| held.severity).max().unwrap_or(root.severity),
            started,
            ended: self.ended(&symptoms),
            last,
            root: Root {
                kind: root.kind.clone(),
                code: root.code,
                pci: self.world.inventory.pci_of(&entity),
                event: root.fields.get("event").and_then(Field::as_text).map(|event| model::text::clean(event, 60)),
                rule: root.id.clone(),
                entity,
                title: root.title.clone(),
                confidence,
                reason,
            },
            symptoms: symptoms.iter().map(|held| self.symptom(held)).collect(),
            evidence: self.evidence(root, &symptoms),
            class: root.class,
            advice: self.advice(rule, root, &symptoms),
            refuted_by: rule.refuted_by.clone(),
            hits: self.hits(),
        }
    }

    fn root(&self) -> &Held {
        self.held.get(self.root).expect("a group's root is one of the findings it was made from")
    }

    /// The root's entity; where its line names none, that of its symptoms, if they agree.
    fn placed(&self, root: &Held, rule: &Rule, symptoms: &[&Held]) -> Entity {
        if unplaced(self.book, root) {
            let mut named = symptoms.iter().map(|held| &held.entity).filter(|entity| entity.kind() == rule.entity);
            if let Some(first) = named.next().filter(|first| named.all(|other| other == *first)) {
                return self.world.inventory.canonical(first);
            }
        }
        self.world.inventory.canonical(&root.entity)
    }

    fn symptom(&self, held: &Held) -> Symptom {
        Symptom {
            kind: held.kind.clone(),
            code: held.code,
            pci: self.world.inventory.pci_of(&held.entity),
            rule: held.id.clone(),
            entity: self.world.inventory.canonical(&held.entity),
            title: held.title.clone(),
            severity: held.severity,
            at: held.started,
            count: held.count,
        }
    }

    /// Over when the root is, and every symptom that could be seen to end has.
    fn ended(&self, symptoms: &[&Held]) -> Option<model::Stamp> {
        let root = self.root();
        let mut ended = root.ended?;
        for held in symptoms {
            let rule = self.book.rule(held.rule);
            let can_end = rule.on.is_none() || rule.clear.is_some() || rule.over_after_ns.is_some();
            match held.ended {
                Some(at) if at.axis_ns() > ended.axis_ns() => ended = at,
                Some(_) => {}
                None if can_end => return None,
                None => {}
            }
        }
        Some(ended)
    }

    fn confidence(&self, rule: &Rule, symptoms: &[&Held]) -> (Confidence, String) {
        let mut confidence = rule.confidence;
        let mut reasons = vec![match confidence {
            Confidence::High => "the driver or the hardware reports it itself".to_owned(),
            Confidence::Medium => "the pattern fits and nothing contradicts it".to_owned(),
            Confidence::Low => "the sign is weak by itself".to_owned(),
        }];
        let own: Vec<Link> = self.members.iter().filter_map(|at| self.best.get(*at).copied().flatten()).collect();
        if own.iter().any(|link| link.relation.is_none()) {
            confidence = Confidence::High;
            reasons = vec!["the driver names it as the cause".to_owned()];
        }
        if let Some(longest) = own.iter().map(|link| link.lag).max() {
            let count = symptoms.len();
            let plural = if count == 1 { "symptom" } else { "symptoms" };
            reasons.push(format!("it explains {count} {plural} within {}", within(longest)));
        }
        if own.iter().any(|link| link.tie == Tie::Guessed) {
            confidence = confidence.min(Confidence::Medium);
            reasons.push("that they are about one device, or one above the other, is a guess: no line names it, or the bus topology is not known".to_owned());
        }
        let others = self.alternatives();
        if !others.is_empty() {
            confidence = if confidence == Confidence::High { Confidence::Medium } else { Confidence::Low };
            reasons.push(format!("{} would explain some of it as well", others.join(" and ")));
        }
        (confidence, reasons.join("; "))
    }

    /// Other roots that would explain some of the symptoms as well.
    fn alternatives(&self) -> Vec<String> {
        let causes = self.members.iter().filter(|at| **at != self.root).filter_map(|at| self.links.get(*at)).flatten();
        let roots = causes.filter(|link| link.tie == Tie::Known).map(|link| root_of(self.best, link.cause));
        let mut names: Vec<String> = roots
            .filter(|root| *root != self.root && !self.members.contains(root))
            .filter_map(|root| self.held.get(root))
            .map(|held| format!("{} on {}", held.id, self.world.inventory.canonical(&held.entity)))
            .collect();
        names.sort();
        names.dedup();
        names.truncate(3);
        names
    }

    fn evidence(&self, root: &Held, symptoms: &[&Held]) -> Vec<Evidence> {
        let mut found: Vec<Evidence> = root.evidence().cloned().collect();
        for held in symptoms {
            let own = held.entity == root.entity;
            let entity = (!own).then(|| self.world.inventory.canonical(&held.entity));
            let room = (MOST_EVIDENCE - found.len().min(MOST_EVIDENCE)).min(4);
            found.extend(held.evidence().take(room).map(|piece| Evidence { entity: entity.clone(), ..piece.clone() }));
        }
        found.sort_by_key(|piece| piece.at.axis_ns());
        found
    }

    /// The driver's own verdict first, then what we advise.
    fn advice(&self, rule: &Rule, root: &Held, symptoms: &[&Held]) -> Vec<Advice> {
        let mut advice: Vec<Advice> = self.drivers_verdict(root, symptoms).into_iter().collect();
        let present = |rules: &[RuleIx]| symptoms.iter().any(|held| rules.contains(&held.rule));
        for piece in &rule.advice {
            let fits = (piece.with.is_empty() || present(&piece.with)) && !present(&piece.without);
            let scope = Here {
                world: self.world,
                entity: &root.entity,
                window: rule.window_ns,
                now: self.now,
                event: None,
                count: None,
            };
            let spared = piece.unless.as_ref().is_some_and(|unless| scope.answer(&unless.expr) == Some(true));
            let action = piece.action.or_else(|| root.verdict.as_ref().map(|verdict| verdict.action));
            let Some(action) = action.filter(|_| fits && !spared) else { continue };
            match advice.iter_mut().find(|given| given.action == action) {
                Some(given) => given.why = format!("{}; {}", given.why, piece.why),
                None => advice.push(Advice { action, why: piece.why.clone() }),
            }
        }
        advice
    }

    /// What the driver asks for: Xid 154 in the log, or NVML's recovery action of the GPU.
    fn drivers_verdict(&self, root: &Held, symptoms: &[&Held]) -> Option<Advice> {
        let logged = symptoms
            .iter()
            .copied()
            .chain([root])
            .filter(|held| held.kind == "xid" && held.code == Some(154))
            .max_by_key(|held| held.last.axis_ns())
            .and_then(|held| held.fields.get("recovery_to").and_then(Field::as_int).map(|code| (code, held.severity)));
        if let Some((action, _)) =
            logged.and_then(|(code, severity): (i64, Severity)| Some((recovery(code)?, severity)))
        {
            return Some(Advice { action, why: "the driver itself asks for it (Xid 154)".to_owned() });
        }
        let metric = self.book.metrics.iter().find(|(_, name)| *name == "gpu.recovery_action").map(|(ix, _)| ix)?;
        let entities = symptoms.iter().copied().chain([root]).map(|held| self.gpu_of(&held.entity));
        let asked = entities.filter_map(|entity| self.world.find(&entity, metric)?.current(self.now).cloned());
        let action = asked.filter_map(|reading| match reading {
            Reading::Good(Value::Count(code)) => recovery(i64::try_from(code).ok()?),
            // A small whole number that a driver's field came as.
            #[allow(clippy::cast_possible_truncation)]
            Reading::Good(Value::Number(code)) => recovery(code as i64),
            _ => None,
        });
        action
            .max_by_key(|action| weight(*action))
            .map(|action| Advice { action, why: "the driver itself asks for it (NVML recovery action)".to_owned() })
    }

    fn gpu_of(&self, entity: &Entity) -> Entity {
        let pci = self.world.inventory.pci_of(entity);
        pci.and_then(|pci| self.world.inventory.gpu_at(pci)).cloned().unwrap_or_else(|| entity.clone())
    }

    fn hits(&self) -> Vec<Entity> {
        let mut hits: Vec<Entity> = self
            .members
            .iter()
            .filter_map(|at| self.held.get(*at))
            .flat_map(|held| held.hits.iter().cloned())
            .collect();
        hits.sort();
        hits.dedup();
        hits
    }
}

fn within(lag: u64) -> String {
    if lag < NS_PER_S { format!("{} ms", lag / 1_000_000) } else { human_duration(lag) }
}

/// NVML's and Xid 154's recovery actions (open-gpu-kernel-modules, `gpu.c`); the number counts, its label varies.
fn recovery(code: i64) -> Option<Action> {
    match code {
        1 => Some(Action::ResetGpu),
        2 => Some(Action::RebootNode),
        3 => Some(Action::DrainP2p),
        4 => Some(Action::DrainReset),
        5 => Some(Action::RecoverImex),
        _ => None,
    }
}

/// Reboot goes before reset before drain-and-reset before the rest, as the driver itself ranks them.
fn weight(action: Action) -> u8 {
    match action {
        Action::RebootNode => 5,
        Action::ResetGpu => 4,
        Action::DrainReset => 3,
        Action::DrainP2p => 2,
        _ => 1,
    }
}

/// The same fault has the same name in every session: from boot, rule, entity and first evidence.
fn id(root: &Held) -> String {
    let mut hasher = Sha256::new();
    // Within a boot the monotonic clock names the instant; the wall clock beside it is told anew by each session.
    let first = match (root.started.mono_ns, root.started.real_ns) {
        (Some(mono), _) => format!("mono {mono}"),
        (None, real) => format!("real {real:?}"),
    };
    for part in [&root.boot, &root.id, &root.entity.to_string(), &root.key, &first] {
        hasher.update(part.as_bytes());
        hasher.update([0]);
    }
    format!("inc-{}", hex(&hasher.finalize(), 6))
}
