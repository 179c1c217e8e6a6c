//! What is wrong in a rule file is said with its place, and with what was perhaps meant.
#![allow(clippy::unwrap_used, clippy::panic, clippy::string_slice)]

use miette::{GraphicalReportHandler, GraphicalTheme};
use proptest::prelude::*;
use rules::{FILES, Rulebook};

const GOOD: &str = r#"[[rule]]
id = "my.hot"
title = "hot"
meaning = "The GPU is hot."
severity = "warning"
class = "thermal"
entity = "gpu"
when = "gpu.temp > 90"
for = "10s"
advice = [{ action = "check_cooling", why = "it is hot" }]

[[rule.test]]
expect = "fires"
steps = [{ until = "11s", set = { "gpu.temp" = 95 } }]

[[rule.test]]
expect = "silent"
steps = [{ until = "11s", set = { "gpu.temp" = 85 } }]
"#;

fn errors(text: &str) -> Vec<String> {
    match Rulebook::parse(&[("my.toml", text)]) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.iter().map(ToString::to_string).collect(),
    }
}

#[track_caller]
fn refused(from: &str, to: &str, expected: &str) {
    assert!(GOOD.contains(from), "{from}");
    let found = errors(&GOOD.replacen(from, to, 1));
    assert_eq!(found, [expected]);
}

#[test]
fn a_rule_as_the_manual_shows_it_is_read_and_passes_its_tests() {
    let book = Rulebook::parse(&[("my.toml", GOOD)]).unwrap();
    assert_eq!(book.test(), []);
    assert_eq!(book.rules()[0].place, ("my.toml".to_owned(), 1));
}

#[test]
fn a_slip_in_an_expression_is_placed_inside_it() {
    refused("gpu.temp > 90", "gpu.tmep > 90", "my.toml:8:9: unknown metric `gpu.tmep`; did you mean `gpu.temp`?");
    refused(
        "gpu.temp > 90",
        "gpu.temp > 90 && rdma.state == 'down'",
        "my.toml:8:26: `rdma.state` is a metric of a port, not of a gpu; \
         a rule looks at one entity: write a rule with `entity = \"port\"`",
    );
    refused("gpu.temp > 90", "gpu.temp > 'hot'", "my.toml:8:20: expected a number, found a text");
    refused("gpu.temp > 90", "gpu.temp >", "my.toml:8:19: expected a value, found the end");
}

#[test]
fn a_slip_in_a_key_or_a_word_names_the_nearest() {
    refused("for =", "fro =", "my.toml:9:1: unknown key `fro`; did you mean `for`?");
    refused("\"warning\"", "\"warnign\"", "my.toml:5:13: unknown severity `warnign`; did you mean `warning`?");
    refused("\"thermal\"", "\"termal\"", "my.toml:6:10: unknown class `termal`; did you mean `thermal`?");
    refused("\"gpu\"", "\"gpus\"", "my.toml:7:11: unknown entity kind `gpus`; did you mean `gpu`?");
    refused(
        "check_cooling",
        "check_coolin",
        "my.toml:10:23: unknown action `check_coolin`; did you mean `check_cooling`?",
    );
    refused("\"10s\"", "\"10 s\"", "my.toml:9:8: `10 s` is not a duration; write 500ms, 30s, 10m, 24h or 7d");
    refused("\"10s\"", "10", "my.toml:9:7: expected a text, found a whole number");
    refused("title = \"hot\"\n", "", "my.toml:1:1: `title` is missing; add `title = \"…\"`");
    refused(
        "\"gpu.temp\" = 95",
        "\"gpu.tmp\" = 95",
        "my.toml:14:35: unknown metric `gpu.tmp`; did you mean `gpu.temp`?",
    );
}

#[test]
fn what_is_no_toml_is_placed_too() {
    let found = errors("[[rule]]\nid = \"a\nb\"");
    assert!(found[0].starts_with("my.toml:2:8: invalid basic string"), "{found:?}");
}

#[test]
fn keys_that_contradict_each_other_are_refused() {
    let edge = |rule: &str| format!("explains = [{{ rule = \"{rule}\" }}]\nadvice");
    refused("advice", &edge("my.cold"), "my.toml:10:23: unknown rule `my.cold`; did you mean `my.hot`?");
    refused(
        "advice",
        &edge("my.hot"),
        "my.toml:10:23: a rule does not explain itself; the same again is folded into one finding anyway",
    );
    refused(
        "for = \"10s\"",
        "over_after = \"10s\"",
        "my.toml:9:14: a state is over when it is seen to be, not after a time; use `clear` and `clear_for`",
    );
    refused("for = \"10s\"", "count = 3", "my.toml:9:9: `count` counts events; say which with `on`, or use `for`");
}

#[test]
fn ids_stand_once_and_edges_do_not_go_in_a_circle() {
    let twice = errors(&format!("{GOOD}\n{GOOD}"));
    assert_eq!(twice, ["my.toml:20:1: the id `my.hot` stands twice; the first is in my.toml, line 1"]);
    let one = GOOD.replace("advice", "explains = [{ rule = \"my.cold\" }]\nadvice");
    let other = GOOD.replace("my.hot", "my.cold").replace("advice", "explains = [{ rule = \"my.hot\" }]\nadvice");
    let circle = errors(&format!("{one}\n{other}"));
    assert_eq!(circle.len(), 1);
    assert!(circle[0].contains("`explains` goes in a circle: my.hot → my.cold → my.hot"), "{circle:?}");
}

#[test]
fn every_error_is_told_not_only_the_first() {
    let both =
        GOOD.replace("gpu.temp > 90", "gpu.tmep > 90") + &GOOD.replace("my.hot", "my.other").replace("thermal", "cold");
    assert_eq!(errors(&both).len(), 2);
}

#[test]
fn a_failing_test_says_what_was_expected_and_what_came() {
    let wrong = GOOD.replace("= 95", "= 89");
    let failures = Rulebook::parse(&[("my.toml", &wrong)]).unwrap().test();
    assert_eq!(failures[0].to_string(), "my.toml:1: rule `my.hot`: test 1 (): expected Fires, it stayed silent");
    let without = GOOD.split("[[rule.test]]").next().unwrap();
    assert_eq!(Rulebook::parse(&[("my.toml", without)]).unwrap().test().len(), 2);
}

#[test]
fn the_same_error_is_drawn_with_its_line() {
    let wrong = GOOD.replace("gpu.temp > 90", "gpu.tmep > 90");
    let error = Rulebook::parse(&[("my.toml", &wrong)]).unwrap_err().remove(0);
    let mut drawn = String::new();
    GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor()).render_report(&mut drawn, &error).unwrap();
    assert!(
        drawn.contains("when = \"gpu.tmep > 90\"") && drawn.contains("did you mean") && drawn.contains("my.toml:8:9"),
        "{drawn}"
    );
}

#[test]
fn the_hash_is_of_the_content_not_of_the_order_in_which_files_were_named() {
    let turned: Vec<_> = FILES.iter().rev().copied().collect();
    assert_eq!(Rulebook::parse(&turned).unwrap().hash(), Rulebook::builtin().hash());
    assert_ne!(Rulebook::parse(&[("my.toml", GOOD)]).unwrap().hash(), Rulebook::builtin().hash());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_a_rulebook_or_refused(text in any::<String>()) {
        drop(Rulebook::parse(&[("any", text)]));
    }

    #[test]
    fn a_rule_file_with_bytes_changed_is_read_or_refused(at in 0usize..900, put in "[ -~\n]{0,3}", drop_to in 0usize..9) {
        let source = FILES[8].1;
        let end = (at + drop_to).min(source.len());
        if source.is_char_boundary(at) && source.is_char_boundary(end) {
            let text = format!("{}{put}{}", &source[..at], &source[end..4_000.max(end)]);
            drop(Rulebook::parse(&[("xid.toml", text)]));
        }
    }
}

#[test]
fn the_rule_that_the_manual_shows_is_one() {
    let manual = include_str!("../../docs/rules-howto.md");
    let rule = manual.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    let book = Rulebook::parse(&[("manual.toml", rule)]).unwrap_or_else(|errors| panic!("{}", errors[0]));
    assert_eq!(book.test(), []);
}
