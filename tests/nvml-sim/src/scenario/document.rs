//! The shape of the TOML document, and the cards it lists.

use serde::Deserialize;

use super::{GpuSetup, MOST_GPUS, ProcessType, ScenarioError, at, value};
use crate::card::{CARDS, Card};
use crate::fault::OneOrMany;
use crate::gpu::PciAddress;
use crate::load::Profile;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Document {
    pub(super) seed: u64,
    pub(super) driver_version: String,
    pub(super) cuda_version: String,
    pub(super) nvml_version: Option<String>,
    pub(super) pcie_counter_bits: u32,
    pub(super) gpus: Option<toml::Value>,
    pub(super) load: Vec<LoadEntry>,
    pub(super) process: Vec<ProcessEntry>,
    pub(super) fault: Vec<toml::Table>,
}

impl Default for Document {
    fn default() -> Document {
        Document {
            seed: 1,
            driver_version: "570.124.06".to_owned(),
            cuda_version: "12.8".to_owned(),
            nvml_version: None,
            pcie_counter_bits: 64,
            gpus: None,
            load: Vec::new(),
            process: Vec::new(),
            fault: Vec::new(),
        }
    }
}

#[derive(Deserialize, Clone, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct GpuEntry {
    pub(super) index: Option<usize>,
    pub(super) model: Option<String>,
    pub(super) load: Option<Profile>,
    pub(super) slowdown: Option<f64>,
    pub(super) uuid: Option<String>,
    pub(super) pci: Option<String>,
    pub(super) serial: Option<String>,
    pub(super) numa: Option<u32>,
    pub(super) persistence: Option<bool>,
    pub(super) ecc: Option<bool>,
    pub(super) mig: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GpuGroup {
    pub(super) count: usize,
    pub(super) model: Option<String>,
    pub(super) load: Option<Profile>,
    pub(super) slowdown: Option<f64>,
    pub(super) persistence: Option<bool>,
    pub(super) ecc: Option<bool>,
    pub(super) mig: Option<bool>,
    #[serde(default)]
    pub(super) each: Vec<GpuEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LoadEntry {
    pub(super) gpu: Option<OneOrMany<usize>>,
    pub(super) profile: Profile,
    #[serde(default)]
    pub(super) from: f64,
    pub(super) to: Option<f64>,
}

#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum PidEntry {
    Number(u32),
    Name(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ProcessEntry {
    pub(super) gpu: Option<OneOrMany<usize>>,
    pub(super) pid: PidEntry,
    pub(super) memory_mib: Option<u64>,
    pub(super) r#type: Option<ProcessType>,
    #[serde(default)]
    pub(super) from: f64,
    pub(super) to: Option<f64>,
}

#[derive(Deserialize)]
pub(super) struct FaultWhen {
    pub(super) at: f64,
    pub(super) r#for: Option<f64>,
    pub(super) gpu: Option<OneOrMany<usize>>,
}

/// The cards of a document.
pub(super) fn gpus(gpus: Option<toml::Value>) -> Result<Vec<GpuSetup>, ScenarioError> {
    let entries: Vec<GpuEntry> = match gpus {
        Some(list @ toml::Value::Array(_)) => Vec::deserialize(list).map_err(at("gpus"))?,
        Some(table) => group(GpuGroup::deserialize(table).map_err(at("gpus"))?)?,
        None => vec![GpuEntry::default(); 8],
    };
    let count = entries.len();
    if count == 0 || count > MOST_GPUS {
        return Err(ScenarioError::CardCount { count });
    }
    entries.into_iter().enumerate().map(|(index, entry)| setup(index, entry)).collect()
}

fn group(group: GpuGroup) -> Result<Vec<GpuEntry>, ScenarioError> {
    if group.count == 0 || group.count > MOST_GPUS {
        return Err(ScenarioError::CardCount { count: group.count });
    }
    let common = GpuEntry {
        model: group.model,
        load: group.load,
        slowdown: group.slowdown,
        persistence: group.persistence,
        ecc: group.ecc,
        mig: group.mig,
        ..GpuEntry::default()
    };
    let mut entries = vec![common; group.count];
    for own in group.each {
        let index = own.index.ok_or_else(|| value("gpus.each", "an entry without `index`", "complete"))?;
        let place = "gpus.each".to_owned();
        let entry = entries.get_mut(index).ok_or(ScenarioError::NoSuchGpu { place, gpu: index, count: group.count })?;
        *entry = GpuEntry {
            index: None,
            model: own.model.or_else(|| entry.model.take()),
            load: own.load.or(entry.load),
            slowdown: own.slowdown.or(entry.slowdown),
            uuid: own.uuid,
            pci: own.pci,
            serial: own.serial,
            numa: own.numa,
            persistence: own.persistence.or(entry.persistence),
            ecc: own.ecc.or(entry.ecc),
            mig: own.mig.or(entry.mig),
        };
    }
    Ok(entries)
}

fn setup(index: usize, entry: GpuEntry) -> Result<GpuSetup, ScenarioError> {
    let place = format!("gpu {index}");
    let model = entry.model.unwrap_or_else(|| "H100 SXM5 80GB".to_owned());
    let Some(card) = Card::named(&model) else {
        let known = CARDS.iter().map(|card| card.model).collect::<Vec<_>>().join(", ");
        return Err(ScenarioError::UnknownModel { index, model, known });
    };
    let slowdown = entry.slowdown.unwrap_or(1.0);
    if !(1.0..=20.0).contains(&slowdown) {
        return Err(value(&place, slowdown, "a slowdown between 1 and 20"));
    }
    if let Some(pci) = &entry.pci
        && PciAddress::parse(pci).is_none()
    {
        return Err(value(&place, pci, "a PCI address such as 0000:1b:00.0"));
    }
    Ok(GpuSetup {
        card,
        load: entry.load.unwrap_or(Profile::Idle),
        slowdown,
        uuid: entry.uuid,
        pci: entry.pci,
        serial: entry.serial,
        numa: entry.numa,
        persistence: entry.persistence.unwrap_or(true),
        ecc: entry.ecc.unwrap_or(true),
        mig: entry.mig.unwrap_or(false) && card.mig,
    })
}
