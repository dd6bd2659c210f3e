//! `RMI_FEATURES` (DEN0137 section B4.3).

use crate::context::{Context, Outcome};

/// Answers a feature register. Registers that are not defined read as zero.
pub(crate) fn features<M>(context: &Context<'_, M>, index: u64) -> Outcome {
    let value = if index == 0 { context.rmm.features } else { 0 };
    Outcome::with_outputs([value, 0, 0])
}
