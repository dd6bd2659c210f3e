//! What is wrong with a call, and what may be said about it.

use rmm_abi::rmi::ReturnCode;

/// Things that can be wrong, as far as the specification puts an order between them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Cause {
    /// Wrong input that no order is stated for.
    Input,
    /// The granule of the Realm descriptor.
    Rd,
    /// The granule of the REC.
    RecGranule,
    /// The level.
    Level,
    /// The IPA is outside of the half, or of the space.
    IpaBound,
    /// The top is not that of a granule.
    TopAlign,
    /// The base is not the one that the Realm is waiting for.
    BaseBound,
    /// State of the Realm, or number of its RECs.
    Realm,
    /// State of the REC, or the Realm it belongs to.
    Rec,
    /// The walk ended early.
    Walk,
    /// The walk ended at an entry in another state.
    Entry,
    /// The table below is in use, or not homogeneous.
    Child,
    /// The base is not that of an entry.
    BaseAlign,
    /// Nothing could be done.
    Progress,
}

use Cause::{
    BaseAlign, BaseBound, Child, Entry, IpaBound, Level, Progress, Rd, Realm, Rec, RecGranule,
    TopAlign, Walk,
};

/// Pairs of which the first must be reported when both hold (reference, "Must precede").
const ORDER: [(Cause, Cause); 13] = [
    (Rd, Realm),
    (Rd, Walk),
    (Rd, Entry),
    (Rd, Child),
    (Rd, BaseAlign),
    (Rd, Progress),
    (IpaBound, Walk),
    (IpaBound, Entry),
    (Level, Walk),
    (Level, Entry),
    (RecGranule, Rec),
    (BaseBound, BaseAlign),
    (TopAlign, Progress),
];

/// A reply: X0 to X4.
pub(super) type Reply = [u64; 5];

/// The things that are wrong with a call.
#[derive(Debug, Default)]
pub(super) struct Failures(Vec<(Cause, ReturnCode, [u64; 2])>);

impl Failures {
    /// Notes that something is wrong, if it is.
    pub(super) fn add(&mut self, wrong: bool, cause: Cause, code: ReturnCode) {
        self.add_with_outputs(wrong, cause, code, [0, 0]);
    }

    /// [`Self::add`] for unacceptable input.
    pub(super) fn input(&mut self, wrong: bool, cause: Cause) {
        self.add(wrong, cause, ReturnCode::ERROR_INPUT);
    }

    /// [`Self::add`] for a failure that has something to say in X1 and X2.
    pub(super) fn add_with_outputs(
        &mut self,
        wrong: bool,
        cause: Cause,
        code: ReturnCode,
        outputs: [u64; 2],
    ) {
        if wrong {
            self.0.push((cause, code, outputs));
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The replies that may be given; X4 is `x4`.
    pub(super) fn prediction(self, x4: u64) -> Prediction {
        let mut replies: Vec<Reply> = Vec::new();
        for &(cause, code, [x1, x2]) in &self.0 {
            let hidden = self
                .0
                .iter()
                .any(|&(other, ..)| ORDER.contains(&(other, cause)));
            let reply = [code.word(), x1, x2, 0, x4];
            if !hidden && !replies.contains(&reply) {
                replies.push(reply);
            }
        }
        Prediction(replies)
    }
}

/// The replies of which a call must get one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Prediction(Vec<Reply>);

impl Prediction {
    /// The call succeeds.
    pub(super) fn success([x1, x2, x3]: [u64; 3], x4: u64) -> Self {
        Self::exactly([ReturnCode::SUCCESS.word(), x1, x2, x3, x4])
    }

    pub(super) fn exactly(reply: Reply) -> Self {
        Self(vec![reply])
    }

    /// X0 to X4 of the replies.
    pub fn replies(&self) -> &[[u64; 5]] {
        &self.0
    }

    /// Whether a reply is one of them.
    pub fn allows(&self, reply: &[u64; 5]) -> bool {
        self.0.contains(reply)
    }

    /// Whether the call succeeds.
    pub fn is_success(&self) -> bool {
        self.0
            .iter()
            .any(|reply| reply[0] == ReturnCode::SUCCESS.word())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_must_precede_hides_the_rest() {
        let mut failures = Failures::default();
        failures.add(true, Walk, ReturnCode::error_rtt(2));
        assert_eq!(failures.prediction(7).replies(), [[0x204, 0, 0, 0, 7]]);
        let mut failures = Failures::default();
        failures.add(true, Walk, ReturnCode::error_rtt(2));
        failures.input(true, IpaBound);
        assert_eq!(failures.prediction(7).replies(), [[1, 0, 0, 0, 7]]);
    }

    #[test]
    fn without_an_order_everything_may_be_said() {
        let mut failures = Failures::default();
        failures.add(true, Walk, ReturnCode::error_rtt(2));
        failures.input(true, Cause::Input);
        failures.input(true, Cause::Input);
        failures.add(false, Realm, ReturnCode::ERROR_REALM);
        assert_eq!(
            failures.prediction(0).replies(),
            [[0x204, 0, 0, 0, 0], [1, 0, 0, 0, 0]]
        );
    }
}
