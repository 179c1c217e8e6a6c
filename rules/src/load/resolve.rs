//! What can be checked only when every rule is known: ids that stand twice, edges to nowhere, edges in a circle.

use std::collections::BTreeMap;

use super::{Names, Placement};
use crate::error::{Fault, RuleError, SourceFile};
use crate::rule::{Edge, RuleIx, Rulebook};

/// Ids that stand twice.
pub(super) fn twice(
    book: &Rulebook,
    sources: &[SourceFile],
    names: &[(Placement, Names)],
    errors: &mut Vec<RuleError>,
) {
    let mut first: BTreeMap<&str, &(String, usize)> = BTreeMap::new();
    for (rule, (place, _)) in book.rules.iter().zip(names) {
        if let Some((file, line)) = first.get(rule.id.as_str()) {
            let fault = Fault::new(format!("the id `{}` stands twice", rule.id))
                .help(format!("the first is in {file}, line {line}"));
            errors.extend(
                sources.get(place.file).map(|source| RuleError::at(source, place.span.start..place.span.start, fault)),
            );
            continue;
        }
        first.insert(&rule.id, &rule.place);
    }
}

/// Edges and conditions on other rules: ids and beginnings of ids into places in the book.
pub(super) fn resolve(
    book: &mut Rulebook,
    sources: &[SourceFile],
    names: Vec<(Placement, Names)>,
    errors: &mut Vec<RuleError>,
) {
    let ids: Vec<String> = book.rules.iter().map(|rule| rule.id.clone()).collect();
    for (own, (_, names)) in names.into_iter().enumerate() {
        let mut explains = Vec::new();
        for (place, written, within_ns, relation) in names.edges {
            match matching(&ids, &written, own) {
                Ok(symptoms) => explains.push(Edge { symptoms, written, within_ns, relation }),
                Err(fault) => {
                    errors.extend(sources.get(place.file).map(|source| RuleError::at(source, place.span, fault)))
                }
            }
        }
        let mut conditions = Vec::new();
        for (at, place, written, wanted) in names.with {
            match matching(&ids, &written, own) {
                Ok(rules) => conditions.push((at, rules, wanted)),
                Err(fault) => {
                    errors.extend(sources.get(place.file).map(|source| RuleError::at(source, place.span, fault)))
                }
            }
        }
        if let Some(rule) = book.rules.get_mut(own) {
            rule.explains = explains;
            for (at, rules, wanted) in conditions {
                if let Some(advice) = rule.advice.get_mut(at) {
                    if wanted { advice.with.extend(rules) } else { advice.without.extend(rules) }
                }
            }
        }
    }
    if errors.is_empty()
        && let Some(circle) = circle(book)
    {
        let names: Vec<&str> = circle.iter().map(|ix| book.rule(*ix).id.as_str()).collect();
        let fault = Fault::new(format!("`explains` goes in a circle: {}", names.join(" → ")))
            .help("a cause cannot be its own symptom: take out one of the edges");
        let rule = book.rule(circle[0]);
        errors.extend(sources.iter().find(|source| source.name == rule.place.0).map(|source| {
            let start =
                source.text.split_inclusive('\n').take(rule.place.1.saturating_sub(1)).map(str::len).sum::<usize>();
            RuleError::at(source, start..start, fault)
        }));
    }
}

fn matching(ids: &[String], written: &str, own: usize) -> Result<Vec<RuleIx>, Fault> {
    let fits = |id: &str| match written.strip_suffix('*') {
        Some(stem) => id.starts_with(stem),
        None => id == written,
    };
    let found: Vec<RuleIx> = ids
        .iter()
        .enumerate()
        .filter(|(at, id)| *at != own && fits(id))
        .filter_map(|(at, _)| u16::try_from(at).ok().map(RuleIx))
        .collect();
    if !found.is_empty() {
        return Ok(found);
    }
    if ids.get(own).is_some_and(|id| id == written) {
        return Err(
            Fault::new("a rule does not explain itself").help("the same again is folded into one finding anyway")
        );
    }
    Err(Fault::unknown("rule", written, ids.iter().map(String::as_str)))
}

/// A circle of edges, if there is one.
fn circle(book: &Rulebook) -> Option<Vec<RuleIx>> {
    // 0: not seen, 1: on the path, 2: done.
    let mut colour = vec![0u8; book.rules.len()];
    for (start, _) in book.indexed() {
        let mut path: Vec<(RuleIx, Vec<RuleIx>)> = Vec::new();
        enter(book, start, &mut colour, &mut path);
        while let Some((here, todo)) = path.last_mut() {
            let (here, next) = (*here, todo.pop());
            match next {
                Some(next) if colour[usize::from(next.0)] == 1 => {
                    let from = path.iter().position(|(ix, _)| *ix == next).unwrap_or(0);
                    return Some(path.iter().skip(from).map(|(ix, _)| *ix).chain([next]).collect());
                }
                Some(next) => enter(book, next, &mut colour, &mut path),
                None => {
                    colour[usize::from(here.0)] = 2;
                    path.pop();
                }
            }
        }
    }
    None
}

fn enter(book: &Rulebook, ix: RuleIx, colour: &mut [u8], path: &mut Vec<(RuleIx, Vec<RuleIx>)>) {
    if colour[usize::from(ix.0)] == 0 {
        colour[usize::from(ix.0)] = 1;
        path.push((ix, book.rule(ix).explains.iter().flat_map(|edge| edge.symptoms.iter().copied()).collect()));
    }
}
