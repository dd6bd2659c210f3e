//! Signals by which an operator ends a machine.

use std::io;
use std::sync::Arc;

use tracing::error;

use super::{Asked, Life};
use crate::sys::signal::Endings;
use crate::worker::Worker;

/// Signals by which an operator ends this process. Made before any other thread, it keeps them
/// from doing that at once.
#[derive(Debug)]
pub struct Operator(Arc<Endings>);

impl Operator {
    /// Takes them from now on.
    ///
    /// # Errors
    ///
    /// If the process has no descriptor left.
    pub fn new() -> io::Result<Self> {
        Ok(Self(Arc::new(Endings::new()?)))
    }

    /// Ends a machine for them, as long as the thread is there that comes back.
    ///
    /// # Errors
    ///
    /// If there are no descriptors or threads left.
    pub fn listen(&self, life: &Arc<Life>) -> io::Result<Worker> {
        let (endings, life) = (Arc::clone(&self.0), Arc::clone(life));
        Worker::start("signals", move |sources| {
            if let Err(error) = sources.add(endings.as_ref(), 0) {
                error!("signals are not heard: {error}");
            }
            while sources.wait().is_some() {
                while let Some(signal) = endings.take() {
                    life.ask(Asked::Signal { signal });
                }
            }
        })
    }
}
