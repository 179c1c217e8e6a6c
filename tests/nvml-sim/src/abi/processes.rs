//! Who uses a card.
#![allow(unsafe_code)] // C ABI; see the parent module.

use std::ffi::{c_uint, c_ulonglong};

use nvml_wrapper_sys::bindings::{
    nvmlProcessInfo_v1_t, nvmlProcessInfo_v2_t, nvmlProcessUtilizationInfo_v1_t, nvmlProcessUtilizationSample_t,
    nvmlProcessesUtilizationInfo_t,
};

use super::memory::whole_card;
use super::{
    Answer, Device, INSUFFICIENT_SIZE, INVALID_ARGUMENT, NOT_FOUND, export, get, length, percent, put, put_list,
    versioned,
};
use crate::clock::Clock;
use crate::scenario::{Pid, Process, ProcessType};

/// `NVML_VALUE_NOT_AVAILABLE`, and the instance id that means none.
const NOT_AVAILABLE: c_ulonglong = c_ulonglong::MAX;
const NO_INSTANCE: c_uint = c_uint::MAX;

/// Three versions of one call: the first has a shorter structure.
macro_rules! running {
    ($kind:expr, $v1:ident, $v2:ident, $v3:ident) => {
        export! {
            device fn $v1(d; count: *mut c_uint, infos: *mut nvmlProcessInfo_v1_t) {
                let short = |info: nvmlProcessInfo_v2_t| nvmlProcessInfo_v1_t {
                    pid: info.pid,
                    usedGpuMemory: info.usedGpuMemory,
                };
                put_list(count, infos, &running(&d, $kind).into_iter().map(short).collect::<Vec<_>>())
            }
            device fn $v2(d; count: *mut c_uint, infos: *mut nvmlProcessInfo_v2_t) {
                put_list(count, infos, &running(&d, $kind))
            }
            device fn $v3(d; count: *mut c_uint, infos: *mut nvmlProcessInfo_v2_t) {
                put_list(count, infos, &running(&d, $kind))
            }
        }
    };
}

running!(
    ProcessType::Compute,
    nvmlDeviceGetComputeRunningProcesses,
    nvmlDeviceGetComputeRunningProcesses_v2,
    nvmlDeviceGetComputeRunningProcesses_v3
);
running!(
    ProcessType::Graphics,
    nvmlDeviceGetGraphicsRunningProcesses,
    nvmlDeviceGetGraphicsRunningProcesses_v2,
    nvmlDeviceGetGraphicsRunningProcesses_v3
);
running!(
    ProcessType::Mps,
    nvmlDeviceGetMPSComputeRunningProcesses,
    nvmlDeviceGetMPSComputeRunningProcesses_v2,
    nvmlDeviceGetMPSComputeRunningProcesses_v3
);

export! {
    device fn nvmlDeviceGetProcessUtilization(
        d; samples: *mut nvmlProcessUtilizationSample_t, count: *mut c_uint, last_seen: c_ulonglong
    ) {
        whole_card(&d)?;
        let used = utilization(&d, last_seen)?;
        put_list(count, samples, &used)
    }
    device fn nvmlDeviceGetProcessesUtilizationInfo(d; info: *mut nvmlProcessesUtilizationInfo_t) {
        let mut asked = get(info)?;
        versioned::<nvmlProcessesUtilizationInfo_t>(asked.version, 1)?;
        whole_card(&d)?;
        let used = utilization(&d, asked.lastSeenTimeStamp)?;
        let room = asked.processSamplesCount as usize;
        asked.processSamplesCount = length(used.len());
        put(info, asked)?;
        if room < used.len() {
            return Err(INSUFFICIENT_SIZE);
        }
        for (n, sample) in used.iter().enumerate() {
            if asked.procUtilArray.is_null() {
                return Err(INVALID_ARGUMENT);
            }
            put(asked.procUtilArray.add(n), nvmlProcessUtilizationInfo_v1_t {
                timeStamp: sample.timeStamp,
                pid: sample.pid,
                smUtil: sample.smUtil,
                memUtil: sample.memUtil,
                encUtil: 0,
                decUtil: 0,
                jpgUtil: 0,
                ofaUtil: 0,
            })?;
        }
        Ok(())
    }
}

fn pid(process: &Process) -> c_uint {
    match process.pid {
        Pid::Itself => std::process::id(),
        Pid::Parent => std::os::unix::process::parent_id(),
        Pid::Number(number) => number,
    }
}

fn running(d: &Device, kind: ProcessType) -> Vec<nvmlProcessInfo_v2_t> {
    let mine = d.gpu.processes(d.t).filter(|process| process.kind == kind);
    let info = |process: &Process| nvmlProcessInfo_v2_t {
        pid: pid(process),
        usedGpuMemory: process.memory_mib.map_or(NOT_AVAILABLE, |mib| mib.saturating_mul(1 << 20)),
        gpuInstanceId: NO_INSTANCE,
        computeInstanceId: NO_INSTANCE,
    };
    mine.map(info).collect()
}

/// The card's utilization, shared evenly by its processes; nothing new since the caller's last sample is `NOT_FOUND`.
fn utilization(d: &Device, last_seen: c_ulonglong) -> Answer<Vec<nvmlProcessUtilizationSample_t>> {
    // Samples are a sixth of a second apart.
    let stamp = Clock::wall_us() / 167_000 * 167_000;
    let count = d.gpu.processes(d.t).count();
    if count == 0 || stamp <= last_seen {
        return Err(NOT_FOUND);
    }
    let activity = d.now().0.activity;
    let share = 1.0 / count as f64;
    let sample = |process: &Process| nvmlProcessUtilizationSample_t {
        pid: pid(process),
        timeStamp: stamp,
        smUtil: percent(activity.sm * share),
        memUtil: percent(activity.memory * share),
        encUtil: 0,
        decUtil: 0,
    };
    Ok(d.gpu.processes(d.t).map(sample).collect())
}
