//! The files of an RDMA port in sysfs: pure functions from what they hold to what it means.
//!
//! Facts: Linux `Documentation/ABI/stable/sysfs-class-infiniband`, `drivers/infiniband/core/sysfs.c`.

/// The most bytes of a counter's name.
const MOST_NAME: usize = 64;

/// `state` (`4: ACTIVE`) and `phys_state` (`5: LinkUp`) as words of our own: `active`, `link_up`.
pub fn state(text: &str) -> Option<String> {
    let (number, word) = text.trim().split_once(": ")?;
    number.parse::<u8>().ok()?;
    snake_case(word)
}

/// `LinkErrorRecovery` → `link_error_recovery`, `Phy Test` → `phy_test`, `ACTIVE_DEFER` → `active_defer`.
fn snake_case(word: &str) -> Option<String> {
    let mut snake = String::with_capacity(word.len() + 4);
    let mut after_small = false;
    for character in word.chars().take(MOST_NAME) {
        if character.is_ascii_alphanumeric() {
            if character.is_ascii_uppercase() && after_small {
                snake.push('_');
            }
            snake.push(character.to_ascii_lowercase());
        } else if !snake.is_empty() && !snake.ends_with('_') {
            snake.push('_');
        }
        after_small = character.is_ascii_lowercase();
    }
    let snake = snake.trim_end_matches('_');
    (!snake.is_empty()).then(|| snake.to_owned())
}

/// `rate`: `400 Gb/sec (4X NDR)`, in Gb/s.
pub fn rate(text: &str) -> Option<f64> {
    let (number, unit) = text.trim().split_once(' ')?;
    let number: f64 = number.parse().ok()?;
    (unit.starts_with("Gb/sec") && (0.0..1e6).contains(&number)).then_some(number)
}

/// A file of counters: a whole number. `None`: `N/A (no PMA)` and the like, where the hardware does not count.
pub fn counter(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

/// Whether a file below `counters/` or `hw_counters/` is a counter that can be told of by its name. `lifespan` is how
/// long the kernel keeps what it has read; hfi1 has names with commas.
pub fn is_counter(name: &str) -> bool {
    name != "lifespan" && name.len() <= MOST_NAME && name.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Bytes of `port_xmit_data` and `port_rcv_data`, which count octets divided by 4.
pub fn octets(counted: u64) -> u64 {
    counted.wrapping_mul(4)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn states_become_words() {
        for (text, word) in [
            ("4: ACTIVE\n", Some("active")),
            ("1: DOWN\n", Some("down")),
            ("2: INIT\n", Some("init")),
            ("5: ACTIVE_DEFER\n", Some("active_defer")),
            ("5: LinkUp\n", Some("link_up")),
            ("3: Disabled\n", Some("disabled")),
            ("4: PortConfigurationTraining\n", Some("port_configuration_training")),
            ("6: LinkErrorRecovery\n", Some("link_error_recovery")),
            ("7: Phy Test\n", Some("phy_test")),
            ("0: <unknown>\n", Some("unknown")),
            ("ACTIVE", None),
            ("4: ", None),
            ("", None),
        ] {
            assert_eq!(state(text).as_deref(), word, "{text:?}");
        }
    }

    #[test]
    fn rates_and_counters_of_real_drivers() {
        assert_eq!(rate("400 Gb/sec (4X NDR)\n"), Some(400.0));
        assert_eq!(rate("2.5 Gb/sec (1X SDR)"), Some(2.5));
        assert_eq!(rate("10 Gb/sec (1X FDR10)"), Some(10.0));
        assert_eq!(rate("NaN Gb/sec"), None);
        assert_eq!(counter("3175488536771\n"), Some(3_175_488_536_771));
        assert_eq!(counter("N/A (no PMA)\n"), None);
        assert_eq!(counter("-1"), None);
        assert!(is_counter("RxTIDFLGMs,32") && is_counter("VL15_dropped"));
        assert!(!is_counter("lifespan") && !is_counter("a b") && !is_counter(&"x".repeat(65)));
    }

    proptest! {
        #[test]
        fn nothing_that_a_file_holds_panics(text in any::<String>()) {
            let word = state(&text);
            prop_assert!(word.is_none_or(|word| word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')));
            let _ = (rate(&text), counter(&text), is_counter(&text));
        }
    }
}
