//! AMD GPUs (and Intel's `xe` where it says the same): resets, hangs, RAS. Formats: Linux `drivers/gpu/drm/amd`, 5.x to
//! 6.12, which prefix the same text as `amdgpu 0000:c3:00.0: amdgpu: …`, `amdgpu: …`, `[drm:function [amdgpu]] *ERROR* …`,
//! with `{14}` for a RAS event number.

use model::Field;

use super::{Context, Decoded, device};
use crate::scan::Scan;

pub(super) fn read(text: &str, _: Context) -> Option<Decoded> {
    let (pci, said) = head(text)?;
    let said = event_number(said.trim());
    // The driver reports its counters also when they are zero: all is well.
    if count(said).is_some_and(|(count, _, _)| count == 0) {
        return None;
    }
    let decoded = Decoded::new("amdgpu");
    let decoded = match pci {
        Some(pci) => decoded.at_gpu(pci),
        None => decoded,
    };
    ring(decoded.clone(), said).or_else(|| ras(decoded.clone(), said)).or_else(|| phrase(decoded, said))
}

/// The address, if given, and the text behind all prefixes.
fn head(text: &str) -> Option<(Option<&str>, &str)> {
    if let Some(device) = device(text) {
        if !matches!(device.driver, "amdgpu" | "xe" | "amdkfd" | "radeon") {
            return None;
        }
        let mut said = device.text.trim();
        for prefix in ["amdgpu:", "[drm]", "*ERROR*"] {
            said = said.strip_prefix(prefix).unwrap_or(said).trim_start();
        }
        return Some((Some(device.pci), drm(said).unwrap_or(said)));
    }
    if let Some(said) = text.strip_prefix("amdgpu:") {
        return Some((None, said));
    }
    if let Some(said) = text.strip_prefix("[drm]") {
        return Some((None, said.trim_start().trim_start_matches("*ERROR*")));
    }
    drm(text).map(|said| (None, said))
}

/// `[drm:amdgpu_job_timedout [amdgpu]] *ERROR* …`
fn drm(text: &str) -> Option<&str> {
    let mut scan = Scan::new(text);
    scan.take("[drm:")?;
    scan.until("[amdgpu]]")?;
    scan.spaces();
    scan.maybe("*ERROR*");
    Some(scan.rest())
}

fn event_number(said: &str) -> &str {
    let mut scan = Scan::new(said);
    match scan.take("{").and_then(|()| scan.digits()).and_then(|_| scan.take("}")) {
        Some(()) => scan.rest().trim_start(),
        None => said,
    }
}

/// `ring comp_1.1.0 timeout, signaled seq=813605, emitted seq=813607`; `… timeout, but soft recovered` is no fault.
fn ring(decoded: Decoded, said: &str) -> Option<Decoded> {
    let mut scan = Scan::new(said);
    scan.take("ring ")?;
    let ring = scan.until(" timeout")?;
    if scan.rest().contains("but soft recovered") {
        return None;
    }
    let signaled = scan.until("signaled seq=").and_then(|_| scan.int());
    let emitted = scan.until("emitted seq=").and_then(|_| scan.int());
    Some(decoded.event("ring_timeout").with("ring", ring).with_some("signaled", signaled).with_some("emitted", emitted))
}

/// The RAS counts: word before `hardware errors`, event.
const RAS: &[(&str, &str)] = &[
    (" uncorrectable hardware error", "ras_ue"),
    (" correctable hardware error", "ras_ce"),
    (" deferred hardware error", "ras_de"),
];

/// `[socket: 0 ]2 [new ]uncorrectable hardware errors detected in [total in ]umc block`
fn ras(decoded: Decoded, said: &str) -> Option<Decoded> {
    let (count, block, event) = count(said)?;
    Some(decoded.event(event).with("count", count).with_some("block", block.map(Field::from)))
}

fn count(said: &str) -> Option<(i64, Option<&str>, &'static str)> {
    let (before, after, event) = RAS
        .iter()
        .find_map(|(phrase, event)| said.split_once(phrase).map(|(before, after)| (before, after, *event)))?;
    let before = before.strip_suffix(" new").unwrap_or(before);
    let count = before.rsplit([' ', ',']).next().and_then(|word| word.parse::<i64>().ok())?;
    let (place, _) = after.rsplit_once(" block").or_else(|| after.rsplit_once(" Block"))?;
    Some((count, place.rsplit(' ').next().filter(|block| !block.is_empty()), event))
}

/// What a text holds, in order: the first that fits names the event.
const PHRASES: &[(&str, &str)] = &[
    ("MEM ECC is active", "ecc_active_benign"),
    ("SRAM ECC is active", "ecc_active_benign"),
    ("ERREVENT_ATHUB_INTERRUPT", "ras_ue_athub"),
    ("uncorrectable hardware error", "ras_ue"),
    ("uncorrectable error detected", "ras_ue"),
    ("GPU reset begin", "reset_begin"),
    ("GPU reset succeeded", "reset_succeeded"),
    ("GPU Recovery Failed", "reset_failed"),
    ("GPU reset end with ret = -", "reset_failed"),
    ("ASIC reset failed", "reset_failed"),
    ("GPU reset failed", "reset_failed"),
    ("VRAM is lost", "vram_lost"),
    ("ailed to send message", "smu_msg_failed"),
    ("SMU: I'm not done with your", "smu_msg_failed"),
    ("SMU: response", "smu_msg_failed"),
    ("psp gfx command", "psp_failed"),
    ("ACA[", "aca_record"),
    ("aca entry[", "aca_record"),
    ("Accelerator Check Architecture events logged", "aca"),
    ("poison is consumed", "poison"),
    ("oison is created", "poison"),
    ("Error Address(PA)", "bad_address"),
    ("reaches threshold value", "bad_page"),
    ("bad page", "bad_page"),
    ("evict queue", "evict_failed"),
    ("ailed to evict process queues", "evict_failed"),
    ("queue evicted", "queue_evicted"),
    ("MES failed to respon", "mes_hang"),
    ("MES might be in unrecoverable state", "mes_hang"),
    ("Illegal register access", "illegal_register"),
    ("Illegal instruction in command stream", "illegal_instruction"),
    ("Illegal opcode in command stream", "illegal_opcode"),
    ("PCI error: detected callback", "pci_error_detected"),
    ("page fault", "page_fault"),
    ("VM_L2_PROTECTION_FAULT_STATUS", "page_fault"),
    ("fence wait loop timeout expired", "fence_timeout"),
    ("reemption time out", "preemption_timeout"),
    ("Fatal error during GPU init", "init_failed"),
    ("hw_init of IP block", "init_failed"),
    ("sw_init of IP block", "init_failed"),
    ("ailed to disallow cf state", "cf_failed"),
    ("GPU over temperature range", "over_temperature"),
    ("device lost from bus", "lost_from_bus"),
    ("as wedged", "wedged"),
    ("device wedged", "wedged"),
];

fn phrase(decoded: Decoded, said: &str) -> Option<Decoded> {
    if let Some((_, after)) = said.split_once("GPU reset(") {
        let event = after.split_once(") ").map(|(_, outcome)| outcome.trim_start());
        return match event {
            Some(outcome) if outcome.starts_with("succeeded") => Some(decoded.event("reset_succeeded")),
            Some(outcome) if outcome.starts_with("failed") => Some(decoded.event("reset_failed")),
            _ => None,
        };
    }
    let (_, event) = PHRASES.iter().find(|(phrase, _)| said.contains(phrase))?;
    let decoded = decoded.event(event);
    Some(match *event {
        "bad_page" if said.contains("reaches threshold value") => decoded.judged("bad_page_threshold"),
        "bad_page" if said.contains("ailed to reserve") => decoded.judged("bad_page_failed"),
        _ => decoded,
    })
}
