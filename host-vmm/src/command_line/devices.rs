//! Devices in one word of the command line.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use crate::configuration::{Disk, Net, TapSource, Vsock};

/// `PATH`, with `,readonly` and `,direct` behind it.
pub(super) fn disk(text: &OsStr) -> Disk {
    let (mut read_only, mut direct) = (false, false);
    let mut path = text.as_bytes();
    loop {
        if let Some(rest) = path.strip_suffix(b",readonly") {
            read_only = true;
            path = rest;
        } else if let Some(rest) = path.strip_suffix(b",direct") {
            direct = true;
            path = rest;
        } else {
            break;
        }
    }
    Disk {
        path: Path::new(OsStr::from_bytes(path)).to_owned(),
        read_only,
        direct,
    }
}

/// `tap=NAME[,mac=ADDRESS]`, or with `fd=NUMBER`.
pub(super) fn net(text: &str) -> Result<Net, String> {
    let wrong = || "write tap=NAME or fd=NUMBER, and ,mac=ADDRESS if you like".to_owned();
    let (mut tap, mut descriptor, mut mac) = (None, None, None);
    for part in text.split(',') {
        match part.split_once('=') {
            Some(("tap", name)) if tap.is_none() => tap = Some(name),
            Some(("fd", number)) if descriptor.is_none() => descriptor = Some(number),
            Some(("mac", address)) if mac.is_none() => mac = Some(address),
            _ => return Err(wrong()),
        }
    }
    let mac = mac.map(str::parse).transpose();
    let tap = match (tap, descriptor) {
        (Some(name), None) => name.parse().map(TapSource::Name),
        (None, Some(number)) => number.parse().map(TapSource::Descriptor),
        _ => return Err(wrong()),
    };
    Ok(Net {
        tap: tap.map_err(|error| format!("{error}"))?,
        mac: mac.map_err(|error| format!("{error}"))?,
    })
}

/// `cid=NUMBER,socket=PATH`. The path comes last, so that there can be commas in it.
pub(super) fn vsock(text: &str) -> Result<Vsock, String> {
    let parts = text
        .strip_prefix("cid=")
        .and_then(|rest| rest.split_once(",socket="))
        .filter(|(_, path)| !path.is_empty());
    let (cid, path) = parts.ok_or_else(|| "write cid=NUMBER,socket=PATH".to_owned())?;
    Ok(Vsock {
        cid: cid.parse().map_err(|error| format!("{error}"))?,
        socket: path.into(),
    })
}
