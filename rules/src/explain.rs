//! A rule in prose, from the same data that the evaluator uses: what `gpudeck rules show` prints.

use std::fmt::Write;

use model::Confidence;
use model::time::human_duration;

use crate::rule::{Rule, RuleAdvice, Rulebook};

impl Rule {
    /// The rule in prose, several lines.
    pub fn explain(&self) -> String {
        let mut text = String::new();
        let severity = self.severity.map_or("as bad as the fault knowledge says", |severity| severity.word());
        line(&mut text, format_args!("{}: {}", self.id, self.title));
        line(&mut text, format_args!("{severity}, class {}, looked for on each {}", self.class, self.entity.word()));
        line(&mut text, format_args!(""));
        line(&mut text, format_args!("{}", self.meaning));
        line(&mut text, format_args!(""));
        line(&mut text, format_args!("Found when  {}", self.found_when()));
        line(&mut text, format_args!("Over when   {}", self.over_when()));
        line(&mut text, format_args!("Trusted     {}", self.trusted()));
        for (at, edge) in self.explains.iter().enumerate() {
            let head = if at == 0 { "Explains    " } else { "            " };
            let within = human_duration(edge.within_ns);
            line(&mut text, format_args!("{head}{} {}, within {within}", edge.written, edge.relation.prose()));
        }
        if let Some(refuted) = &self.refuted_by {
            line(&mut text, format_args!("Refuted if  {refuted}"));
        }
        for (at, advice) in self.advice.iter().enumerate() {
            let head = if at == 0 { "Advice      " } else { "            " };
            line(&mut text, format_args!("{head}{}", advice_line(advice)));
        }
        for (at, reference) in self.references.iter().enumerate() {
            let head = if at == 0 { "Sources     " } else { "            " };
            line(&mut text, format_args!("{head}{reference}"));
        }
        line(&mut text, format_args!("Stands in   {}, line {}", self.place.0, self.place.1));
        text
    }

    fn found_when(&self) -> String {
        let condition = &self.when.text;
        let mut text = match self.on {
            Some(kind) if condition == "true" => format!("a `{}` event comes", kind.name),
            Some(kind) => format!("a `{}` event comes with {condition}", kind.name),
            None => condition.clone(),
        };
        if self.count > 1 {
            text = format!("{text}, {} times", self.count);
        }
        if self.window_ns > 0 {
            text = format!("{text}, within {}", human_duration(self.window_ns));
        }
        if self.hold_ns > 0 {
            text = format!("{text}, for {}", human_duration(self.hold_ns));
        }
        if self.fallback {
            text.push_str("; only where no other rule speaks of the event");
        }
        text
    }

    fn over_when(&self) -> String {
        let held = match self.clear_ns {
            0 => String::new(),
            ns => format!(", for {}", human_duration(ns)),
        };
        match (&self.clear, self.over_after_ns, self.on) {
            (Some(clear), ..) => match clear.on {
                Some(kind) if clear.expr.text == "true" => format!("a `{}` event comes", kind.name),
                Some(kind) => format!("a `{}` event comes with {}", kind.name, clear.expr.text),
                None => format!("{}{held}", clear.expr.text),
            },
            (None, Some(after), _) => {
                format!("nothing of it was seen for {}: it is an occurrence, not a state", human_duration(after))
            }
            (None, None, Some(_)) => "the node boots; nothing else proves it".to_owned(),
            (None, None, None) => format!("the condition is seen not to hold{held}; silence is no proof"),
        }
    }

    fn trusted(&self) -> &'static str {
        match self.confidence {
            Confidence::High => "high: the driver or the hardware reports it itself",
            Confidence::Medium => "medium: the pattern fits",
            Confidence::Low => "low: a weak sign by itself, mostly a symptom",
        }
    }
}

impl Rulebook {
    /// The ids of the rules that may explain a finding of this one.
    pub fn explained_by(&self, id: &str) -> Vec<&str> {
        let explains = |rule: &&Rule| {
            rule.explains.iter().flat_map(|edge| &edge.symptoms).any(|symptom| self.rule(*symptom).id == id)
        };
        self.rules().iter().filter(explains).map(|rule| rule.id.as_str()).collect()
    }
}

fn advice_line(advice: &RuleAdvice) -> String {
    let action = advice.action.map_or("what the fault knowledge says", |action| action.word());
    let mut text = format!("{action}: {}", advice.why);
    for (word, names) in [("with", &advice.with_written), ("without", &advice.without_written)] {
        if !names.is_empty() {
            text = format!("{text} (only {word} {})", names.join(" or "));
        }
    }
    if let Some(unless) = &advice.unless {
        text = format!("{text} (unless {})", unless.text);
    }
    text
}

fn line(text: &mut String, what: std::fmt::Arguments<'_>) {
    writeln!(text, "{what}").expect("writing to a String does not fail");
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_rule_explains_itself() {
        let book = Rulebook::builtin();
        let text = book.get("host.shm_full").unwrap().explain();
        assert!(text.contains("Found when  host.shm_percent > 90, for 10s"), "{text}");
        assert!(text.contains("Over when   host.shm_percent < 80\n"), "{text}");
        let text = book.get("xid.48").unwrap().explain();
        assert!(text.contains("drain_reset: ") && text.contains("(only with xid.63 or xid.64)"), "{text}");
        assert!(book.explained_by("xid.63").contains(&"xid.48"));
    }

    #[test]
    fn every_rule_has_prose() {
        for rule in Rulebook::builtin().rules() {
            assert!(rule.explain().lines().count() > 8, "{}", rule.id);
        }
    }
}
