//! The files that come with the machine: found at first, loaded when there is a plan.
#![allow(unsafe_code)]

use alloc::vec::Vec;

use el3_monitor::attestation::AttestationKey;
use el3_monitor::fault::Fault;
use el3_monitor::hand_over::{self, HandOver};
use el3_monitor::machine::Machine;
use el3_monitor::region::GRANULE;
use el3_monitor::{Region, device_tree, layout};
use zeroize::Zeroizing;

use super::prepare::Prepared;
use crate::console::{fatal, say};
use crate::firmware_config::{File, FirmwareConfig, MAX_SMALL, TransferFailed};
use crate::mmu::{self, Memory};
use crate::platform;

/// What came with the machine.
pub(crate) struct Files {
    device: FirmwareConfig,
    pub(crate) rmm: Option<File>,
    pub(crate) kernel: File,
    pub(crate) initrd: Option<File>,
    command_line: Option<Vec<u8>>,
    /// What goes wrong on purpose.
    pub(crate) fault: Option<Fault>,
    /// What the RMM is told instead of what is so.
    pub(crate) hand_over: HandOver,
    attestation_key: Option<File>,
}

fn transfer_failed(_: TransferFailed) -> ! {
    fatal!("the firmware-configuration device failed")
}

/// The fault that a file names. A test that asks for one that is not there would show nothing.
fn fault(device: &FirmwareConfig, file: File) -> Fault {
    const LONGEST: u64 = 64;
    let text = device.read_small(file, LONGEST);
    let text = text.unwrap_or_else(|error| transfer_failed(error));
    let known = core::str::from_utf8(&text)
        .ok()
        .filter(|_| file.size <= LONGEST)
        .and_then(Fault::parse);
    let Some(fault) = known else {
        let names: Vec<_> = Fault::names().collect();
        fatal!(
            "opt/cloister/fault names no fault that is known: '{}'; there is {}",
            text.escape_ascii(),
            names.join(", ")
        )
    };
    fault
}

/// What a file says that the RMM is to be told.
fn hand_over(device: &FirmwareConfig, file: File) -> HandOver {
    let text = device.read_small(file, hand_over::LONGEST as u64);
    let text = text.unwrap_or_else(|error| transfer_failed(error));
    let Some(text) = core::str::from_utf8(&text)
        .ok()
        .filter(|_| file.size <= hand_over::LONGEST as u64)
    else {
        fatal!(
            "opt/cloister/hand-over is no text of {} bytes or less",
            hand_over::LONGEST
        );
    };
    match HandOver::parse(text) {
        Ok(hand_over) => {
            say!("!!! the RMM is told (opt/cloister/hand-over): {text}");
            hand_over
        }
        Err(error) => fatal!("{error}"),
    }
}

impl Files {
    pub(crate) fn open(machine: &Machine, blob: &[u8]) -> Self {
        let here = Region {
            start: platform::DEVICE_TREE,
            end: platform::DEVICE_TREE + blob.len() as u64,
        };
        let page = match layout::carve_out_base(machine, &here) {
            Ok(base) if machine.banks[0].contains(base) => base,
            Ok(_) => fatal!("too little memory: the first bank ends with the device tree"),
            Err(error) => fatal!("{error}"),
        };
        // Where the plan will have the scratch page.
        mmu::map(
            Region {
                start: page,
                end: page + GRANULE,
            },
            Memory::Data,
        );
        let device = FirmwareConfig::new(machine.firmware_config, page);
        let find = |name| {
            device
                .find(name)
                .unwrap_or_else(|error| transfer_failed(error))
        };
        let Some(kernel) = find("opt/cloister/normal-world") else {
            fatal!(
                "there is no normal-world image (-fw_cfg name=opt/cloister/normal-world,file=...)"
            );
        };
        let command_line = find("opt/cloister/bootargs").map(|file| {
            if file.size > device_tree::MAX_COMMAND_LINE as u64 {
                fatal!(
                    "opt/cloister/bootargs has {} bytes, more than {}",
                    file.size,
                    device_tree::MAX_COMMAND_LINE
                );
            }
            let text = device.read_small(file, MAX_SMALL);
            text.unwrap_or_else(|error| transfer_failed(error))
        });
        Self {
            rmm: find("opt/cloister/rmm"),
            kernel,
            initrd: find("opt/cloister/initrd").filter(|file| file.size != 0),
            command_line,
            fault: find("opt/cloister/fault").map(|file| fault(&device, file)),
            hand_over: find("opt/cloister/hand-over")
                .map_or_else(HandOver::default, |file| hand_over(&device, file)),
            attestation_key: find("opt/cloister/cpak"),
            device,
        }
    }

    pub(crate) fn first_bytes(&self, file: File, size: usize) -> Vec<u8> {
        let bytes = self.device.read_small(file, size as u64);
        bytes.unwrap_or_else(|error| transfer_failed(error))
    }

    /// The command line as text, without what a file may have after it.
    pub(crate) fn command_line(&self) -> Option<&str> {
        let bytes = self.command_line.as_deref()?;
        let Ok(text) = core::str::from_utf8(bytes) else {
            fatal!("opt/cloister/bootargs is not text");
        };
        let text = text.trim_end_matches(['\0', '\n', '\r', ' ']);
        if text.contains('\0') {
            fatal!("opt/cloister/bootargs has a zero byte in it");
        }
        Some(text)
    }

    /// The key for platform tokens, where there is one.
    pub(crate) fn attestation_key(&self) -> Option<AttestationKey> {
        const LONGEST: u64 = 2048;
        let file = self.attestation_key?;
        let text = self.device.read_small(file, LONGEST);
        let text = Zeroizing::new(text.unwrap_or_else(|error| transfer_failed(error)));
        self.device.clear_buffer();
        let key = AttestationKey::from_pem(&text).filter(|_| file.size <= LONGEST);
        let Some(key) = key else {
            fatal!("opt/cloister/cpak is no private key on P-384 (PKCS #8 in PEM)");
        };
        Some(key)
    }

    /// Loads the images to their places.
    pub(crate) fn load(&self, prepared: &Prepared) {
        let layout = &prepared.layout;
        let load = |file, place: Region| {
            // SAFETY: the layout keeps the place for this file, and no world runs yet.
            let loaded = unsafe { self.device.load(file, place.start) };
            loaded.unwrap_or_else(|error| transfer_failed(error));
        };
        if let Some(rmm) = self.rmm {
            load(rmm, layout.realm);
        }
        load(self.kernel, layout.kernel);
        if let Some(initrd) = self.initrd {
            load(initrd, layout.initrd);
        }
    }
}
