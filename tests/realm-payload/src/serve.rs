//! The loop that every REC runs: reply, next command, do it.

use core::fmt::Write as _;

use realm_guest_kit::rsi;
use realm_payload::text::Line;
use realm_payload::{Command, Reply, immediate};

use crate::entry::{conduit, say, switch_off};
use crate::rec::Rec;
use crate::{access, exceptions, execute, translation};

/// Exceptions in a row without a command in between: then the way to the host itself is broken.
const HOPELESS: u32 = 8;

/// Serves the host for ever.
pub(crate) fn serve(rec: &mut Rec) -> ! {
    let mut in_vain = 0;
    loop {
        rec.delivered = false;
        let ended = exceptions::guarded(rec.number, rec, one);
        if let Some(exception) = ended {
            translation::forget_spare(rec.number);
            access::set_daif(rec.daif);
            rec.reply = exception;
        }
        assert!(
            !exceptions::stack_overflowed(rec.number),
            "the stack of REC {} is too small",
            rec.number
        );
        in_vain = if rec.delivered { 0 } else { in_vain + 1 };
        if in_vain == HOPELESS {
            switch_off();
        }
    }
}

/// Gives the reply, takes the next command and does it.
extern "C" fn one(rec: &mut Rec) {
    rec.service.imm = immediate::SERVE;
    rec.service.gprs = rec.reply.encode();
    if let Err(error) = rsi::host_call(&conduit(), &mut rec.service) {
        let mut line = Line::new();
        // Writing to a line cannot fail.
        let _ = write!(line, "REC {}: RSI_HOST_CALL: {error}", rec.number);
        say(&line);
        return;
    }
    rec.delivered = true;
    rec.reply = match Command::decode(&rec.service.gprs) {
        Some(command) => execute::execute(rec, &command),
        None => Reply::UnknownCommand,
    };
}
