//! What faults have done to a card by an instant: links, memory, PCIe, the driver's verdict.

use super::Gpu;
use crate::fault::{EccLocation, FaultKind, OneOrMany, RecoveryAction};

/// Remapped rows.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Remapped {
    pub(crate) correctable: u32,
    pub(crate) uncorrectable: u32,
    pub(crate) pending: bool,
    pub(crate) failure: bool,
}

/// Errors of one link.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct LinkErrors {
    pub(crate) replay: u64,
    pub(crate) recovery: u64,
    pub(crate) crc: u64,
}

impl Gpu {
    /// Whether the link is up at `t`.
    pub(crate) fn link_up(&self, link: u32, t: f64) -> bool {
        !self.faults(t).any(|kind| match kind {
            FaultKind::NvlinkDown { link: links } => OneOrMany::covers(links.as_ref(), link),
            _ => false,
        })
    }

    /// What the link has counted by `t`.
    pub(crate) fn link_errors(&self, link: u32, t: f64) -> LinkErrors {
        let mut errors = LinkErrors::default();
        for fault in self.past_faults(t) {
            if let FaultKind::NvlinkErrors { link: links, replay, recovery, crc } = &fault.kind
                && OneOrMany::covers(links.as_ref(), link)
            {
                errors.replay += fault.counted(*replay, t);
                errors.recovery += fault.counted(*recovery, t);
                errors.crc += fault.counted(*crc, t);
            }
        }
        errors
    }

    /// Corrected and uncorrected ECC errors by `t`, at one place or everywhere.
    pub(crate) fn ecc_errors(&self, at: Option<EccLocation>, t: f64) -> (u64, u64) {
        let mut sum = (0u64, 0u64);
        for fault in self.past_faults(t) {
            if let FaultKind::Ecc { corrected, uncorrected, corrected_rate, uncorrected_rate, location } = &fault.kind
                && at.is_none_or(|at| at == *location)
            {
                sum.0 = sum.0.saturating_add(*corrected).saturating_add(fault.counted(*corrected_rate, t));
                sum.1 = sum.1.saturating_add(*uncorrected).saturating_add(fault.counted(*uncorrected_rate, t));
            }
        }
        sum
    }

    /// Remapped rows by `t`.
    pub(crate) fn remapped(&self, t: f64) -> Remapped {
        let mut sum = Remapped::default();
        for fault in self.past_faults(t) {
            if let FaultKind::Remap { correctable, uncorrectable, pending, failure } = &fault.kind {
                sum.correctable = sum.correctable.saturating_add(*correctable);
                sum.uncorrectable = sum.uncorrectable.saturating_add(*uncorrectable);
                sum.pending |= *pending && fault.active(t);
                sum.failure |= *failure && fault.active(t);
            }
        }
        sum
    }

    /// PCIe replays by `t`.
    pub(crate) fn pcie_replays(&self, t: f64) -> u64 {
        let counted = self.past_faults(t).map(|fault| match fault.kind {
            FaultKind::PcieReplay { rate } => fault.counted(rate, t),
            _ => 0,
        });
        counted.fold(0, u64::saturating_add)
    }

    /// Trained PCIe generation and width at `t`.
    pub(crate) fn pcie_link(&self, t: f64) -> (u32, u32) {
        let (mut generation, mut width) = self.card.pcie;
        for kind in self.faults(t) {
            match kind {
                FaultKind::PcieGen { r#gen } => generation = generation.min(*r#gen),
                FaultKind::PcieWidth { width: lanes } => width = width.min(*lanes),
                _ => {}
            }
        }
        (generation, width)
    }

    /// The driver's verdict at `t`: the gravest on.
    pub(crate) fn recovery_action(&self, t: f64) -> u32 {
        let verdicts = self.faults(t).filter_map(|kind| match kind {
            FaultKind::RecoveryAction { action } => Some(*action as u32),
            _ => None,
        });
        verdicts.max().unwrap_or(RecoveryAction::None as u32)
    }
}
