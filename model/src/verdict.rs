//! The closed lists in which gpudeck judges: how bad, of which class, what to do.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

macro_rules! closed_list {
    ($(#[$doc:meta])* $name:ident, $what:literal { $($(#[$vdoc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum $name { $($(#[$vdoc])* #[serde(rename = $word)] $variant),+ }

        impl $name {
            /// Every word of the list, in its order.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The word that scripts see.
            pub fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.pad(self.word()) }
        }

        impl FromStr for $name {
            type Err = String;

            fn from_str(word: &str) -> Result<Self, String> {
                match word {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(format!("`{word}` is not a known {}; known are: {}", $what, [$($word),+].join(", "))),
                }
            }
        }
    };
}

closed_list! {
    /// Our judgement of how bad something is, in rising order.
    Severity, "severity" {
        /// Worth knowing; nothing to do.
        Info = "info",
        /// Degraded or about to be; act when convenient.
        Warning = "warning",
        /// Work is being lost or slowed now.
        Critical = "critical",
        /// The device is unusable until somebody acts.
        Fatal = "fatal",
    }
}

closed_list! {
    /// What kind of fault it is: where the cause lies.
    Class, "class" {
        /// PCIe: the device, its slot, its upstream port.
        Bus = "bus",
        /// GPU memory: ECC, row remapping, page retirement.
        HardwareMemory = "hardware-memory",
        /// Another part of the device.
        Hardware = "hardware",
        /// Cooling.
        Thermal = "thermal",
        /// Power delivery or a power limit.
        Power = "power",
        /// NVLink, NVSwitch, XGMI.
        Nvlink = "nvlink",
        /// The driver or its firmware.
        Driver = "driver",
        /// The program on the GPU.
        Application = "application",
        /// RDMA or Ethernet.
        Network = "network",
        /// File systems and caches.
        Storage = "storage",
        /// The host: CPU, memory, kernel.
        Host = "host",
        /// Something is set up in a way that costs.
        Configuration = "configuration",
        /// gpudeck or a source it reads cannot see.
        Monitoring = "monitoring",
    }
}

closed_list! {
    /// What to do. The words follow NVIDIA's resolution buckets and the driver's recovery actions where there is one.
    Action, "action" {
        /// Nothing.
        Ignore = "ignore",
        /// Watch the trend.
        Monitor = "monitor",
        /// Restart the application; look at its code if it comes back.
        RestartApp = "restart_app",
        /// Restart the virtual machine.
        RestartVm = "restart_vm",
        /// Reset the GPU, once nothing uses it.
        ResetGpu = "reset_gpu",
        /// Drain the work off, then reset.
        DrainReset = "drain_reset",
        /// Drain peer-to-peer traffic.
        DrainP2p = "drain_p2p",
        /// Recover the IMEX domain.
        RecoverImex = "recover_imex",
        /// Reboot the node.
        RebootNode = "reboot_node",
        /// Cold power cycle.
        PowerCycle = "power_cycle",
        /// Keep new work off the node.
        DrainNode = "drain_node",
        /// Run the vendor's field diagnostics.
        FieldDiag = "field_diag",
        /// Replace the part (RMA).
        Replace = "replace",
        /// Reseat the card, its risers and cables.
        Reseat = "reseat",
        /// Look at fans, airflow, inlet temperature, paste.
        CheckCooling = "check_cooling",
        /// Look at supplies, cables and power caps.
        CheckPower = "check_power",
        /// Look at the cable, the transceiver, the switch port.
        CheckLink = "check_link",
        /// Look at the file system, its daemon and its remote.
        CheckStorage = "check_storage",
        /// Free what is held: memory, shared segments, stray processes.
        FreeResources = "free_resources",
        /// Mend the set-up.
        FixConfig = "fix_config",
        /// Update driver, firmware or software.
        UpdateSoftware = "update_software",
        /// Give gpudeck the rights or the source it lacks.
        GrantAccess = "grant_access",
        /// Ask the vendor.
        ContactSupport = "contact_support",
    }
}

/// Our judgement of one event by itself, from the fault knowledge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// How bad.
    pub level: Severity,
    /// What to do about it if it stands alone.
    pub action: Action,
    /// What it is, in a few words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_read_back() {
        for action in Action::ALL {
            assert_eq!(action.word().parse::<Action>(), Ok(*action));
        }
        assert!("explode".parse::<Class>().unwrap_err().contains("hardware-memory"));
    }

    #[test]
    fn severities_rise() {
        assert!(Severity::Info < Severity::Warning && Severity::Critical < Severity::Fatal);
    }
}
