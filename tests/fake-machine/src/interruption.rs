//! Something that a test does in the middle of a call.

use std::cell::RefCell;
use std::fmt;

type Action = Box<dyn FnMut()>;

/// What happens at some point of the calls of a CPU; nothing unless a test says so.
#[derive(Default)]
pub(crate) struct Interruption(RefCell<Option<Action>>);

impl Interruption {
    pub(crate) fn set(&self, action: Action) {
        *self.0.borrow_mut() = Some(action);
    }

    pub(crate) fn run(&self) {
        if let Some(action) = self.0.borrow_mut().as_mut() {
            action();
        }
    }
}

impl fmt::Debug for Interruption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Interruption")
            .field(&self.0.borrow().is_some())
            .finish()
    }
}
