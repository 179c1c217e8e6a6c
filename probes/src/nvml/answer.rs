//! What an answer that is no data means: for a reading, for the driver's state, and for a person.
//!
//! Codes: `nvmlReturn_t` in nvml.h of CUDA 13.0. In a container, `UNKNOWN` at initialisation is what a rewritten device
//! control group looks like (nvidia-container-toolkit issue 48).

use model::ProbeFault;
use nvml_raw::DriverError;

/// What a failed call says about what was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// This device or driver does not have it.
    Absent,
    /// We may not ask.
    Denied,
    /// The GPU is gone.
    Lost,
    /// The driver is gone.
    Gone,
    /// The call failed: what it would have told is not known.
    Failed,
}

/// What a failed call says.
pub(super) fn meaning(error: &DriverError) -> Meaning {
    match error {
        DriverError::NoSymbol(_) => Meaning::Absent,
        DriverError::NoLibrary(_) => Meaning::Gone,
        DriverError::Garbled(_) => Meaning::Failed,
        DriverError::Code(code) => match code {
            // A field id, a link or a sensor that this driver does not know is an "invalid argument".
            2 | 3 | 6 | 13 | 26 => Meaning::Absent,
            4 => Meaning::Denied,
            15 => Meaning::Lost,
            1 | 9 => Meaning::Gone,
            _ => Meaning::Failed,
        },
    }
}

/// `driver.state` when the library could not be opened.
pub(super) fn driver_state(error: &DriverError) -> &'static str {
    match error {
        DriverError::NoLibrary(_) => "no_library",
        DriverError::Code(9) => "not_loaded",
        DriverError::Code(18) => "mismatch",
        DriverError::Code(4 | 17) => "denied",
        _ => "failed",
    }
}

/// Code and what a person can do about it.
const ADVICE: &[(u32, &str)] = &[
    (4, "run gpudeck as root, or give this user access to /dev/nvidia*"),
    (8, "check the power cables of the board"),
    (9, "load the kernel module (modprobe nvidia); `dmesg | grep NVRM` says why it does not load"),
    (11, "check the kernel log for interrupt problems of this device; a reboot usually helps"),
    (14, "the board needs its InfoROM repaired or replaced: ask the vendor"),
    (15, "drain the node; the GPU needs a reset or the node a reboot (see the Xid in the kernel log)"),
    (16, "drain the GPU and reset it: nvidia-smi --gpu-reset -i GPU"),
    (17, "the device is blocked by a control group: restart the container with access to /dev/nvidia*"),
    (18, "the driver was updated under the running kernel module: reboot, or reload the nvidia modules"),
    (
        999,
        "in a container: restart it, its access to /dev/nvidia* may have been withdrawn; on the host: see the kernel log",
    ),
];

/// What a person can do about it.
pub(super) fn advice(error: &DriverError) -> Option<String> {
    let advice = match error {
        DriverError::NoLibrary(_) => {
            "install the NVIDIA driver, or name its library with --nvml-lib /path/to/libnvidia-ml.so.1; \
             on a node without NVIDIA GPUs there is nothing to do"
        }
        DriverError::NoSymbol(_) => "the driver is older than this call; a newer driver has it",
        DriverError::Garbled(_) => return None,
        DriverError::Code(code) => ADVICE.iter().find(|known| known.0 == *code)?.1,
    };
    Some(advice.to_owned())
}

/// A failed call as a fault for a person.
pub(super) fn fault(call: &str, entity: Option<model::Entity>, error: &DriverError) -> ProbeFault {
    ProbeFault { call: call.to_owned(), entity, why: error.to_string().into(), advice: advice(error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_of_not_opening_has_its_state_and_advice() {
        let cases = [
            (DriverError::NoLibrary("no such file".to_owned()), "no_library"),
            (DriverError::Code(9), "not_loaded"),
            (DriverError::Code(18), "mismatch"),
            (DriverError::Code(4), "denied"),
            (DriverError::Code(999), "failed"),
        ];
        for (error, state) in cases {
            assert_eq!(driver_state(&error), state);
            assert!(advice(&error).is_some_and(|advice| advice.len() > 20), "{error}");
        }
    }

    #[test]
    fn a_call_that_is_not_there_is_no_failure() {
        for code in [2, 3, 13] {
            assert_eq!(meaning(&DriverError::Code(code)), Meaning::Absent);
        }
        assert_eq!(meaning(&DriverError::NoSymbol("nvmlX".to_owned())), Meaning::Absent);
        // It is there, and what it was is not known now.
        assert_eq!(meaning(&DriverError::Code(16)), Meaning::Failed);
        assert_eq!(meaning(&DriverError::Code(27)), Meaning::Failed);
    }
}
