//! What a CoMID says of Realms.

use corim::types::comid::ComidTag;
use corim::types::common::ClassIdChoice;
use corim::types::measurement::MeasurementMap;

use super::platform::{Field, Values, key};
use super::{CorimError, Endorsements};
use crate::claims::HashValue;
use crate::reference::RealmReference;

pub(super) const RIM: &str = "cca.rim";
pub(super) const REMS: [&str; 4] = ["cca.rem0", "cca.rem1", "cca.rem2", "cca.rem3"];
pub(super) const RPV: &str = "cca.rpv";

pub(super) fn read(comid: &ComidTag, into: &mut Endorsements) -> Result<(), CorimError> {
    for triple in comid.triples.reference_triples.iter().flatten() {
        let mut realm = RealmReference::default();
        for measurement in triple.measurements() {
            read_measurement(measurement, &mut realm)?;
        }
        if realm.initial_measurement.is_empty() {
            return Err(CorimError::Triple("no cca.rim".into()));
        }
        // The environment names the Realm by its RIM, so it has to be one of those.
        let environment = triple.environment();
        let class = environment.class.as_ref();
        let named = match class.and_then(|class| class.class_id.as_ref()) {
            Some(ClassIdChoice::Bytes(bytes)) => HashValue::from_slice(bytes),
            _ => None,
        };
        if !named.is_some_and(|rim| realm.initial_measurement.contains(&rim)) {
            return Err(CorimError::Triple(
                "the environment is not the cca.rim".into(),
            ));
        }
        if environment.instance.is_some() || environment.group.is_some() {
            return Err(CorimError::Triple(
                "an instance or a group of Realms".into(),
            ));
        }
        into.references.realms.push(realm);
    }
    Ok(())
}

fn read_measurement(
    measurement: &MeasurementMap,
    realm: &mut RealmReference,
) -> Result<(), CorimError> {
    let key = key(measurement)?;
    let values = Values::new(key, measurement)?;
    if key == RPV {
        let raw = values.raw()?;
        let value = <[u8; 64]>::try_from(raw.value()).ok();
        let value = value.filter(|_| raw.mask().is_none());
        let value = value.ok_or_else(|| values.error("not 64 bytes without a mask"))?;
        if !realm.personalization_value.is_empty() {
            return Err(values.error("more than one of it"));
        }
        realm.personalization_value.push(value);
        return Ok(());
    }
    let digests = values.digests()?;
    values.refuse_others(&[Field::Digests])?;
    let target = if key == RIM {
        &mut realm.initial_measurement
    } else {
        match REMS.iter().position(|rem| *rem == key) {
            Some(index) => &mut realm.extensible_measurements[index],
            None => return Err(values.error("not a measurement of the profile")),
        }
    };
    if !target.is_empty() {
        return Err(values.error("more than one of it"));
    }
    *target = digests;
    Ok(())
}
