//! Threads beside the vCPUs, which wait for descriptors and end when they are told to.

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use vmm_sys_util::epoll::{ControlOperation, Epoll, EpollEvent, EventSet};
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

use crate::confinement::{self, Kind};
use crate::devices::virtio::{Source, VirtioDevice, VirtioMmio};
use crate::sys::signal;

/// How long a thread that has been told to end gets before it is told again.
pub(crate) const PATIENCE: Duration = Duration::from_millis(1);

/// What a worker's [`Sources::wait`] says when it is to end.
const END: u64 = u64::MAX;
/// What it says when there is something from where a device gets what it has for its driver.
const SOURCE: u64 = u64::MAX - 1;
const MOST_EVENTS: usize = 16;

/// A thread, which ends when this is dropped.
#[derive(Debug)]
pub struct Worker {
    end: EventFd,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    /// Starts a thread that does `work` with the sources it has then.
    ///
    /// # Errors
    ///
    /// If the process has no descriptors or threads left.
    pub fn start(name: &str, work: impl FnOnce(&mut Sources) + Send + 'static) -> io::Result<Self> {
        Self::start_as(Kind::Device, name, work)
    }

    /// The same with a thread of a certain kind, which may make the system calls of that kind.
    ///
    /// # Errors
    ///
    /// As [`Worker::start`].
    pub fn start_as(
        kind: Kind,
        name: &str,
        work: impl FnOnce(&mut Sources) + Send + 'static,
    ) -> io::Result<Self> {
        let end = EventFd::new(EFD_NONBLOCK)?;
        let mut sources = Sources {
            epoll: Epoll::new()?,
            _end: end.try_clone()?,
        };
        sources.add_number(end.as_raw_fd(), END)?;
        let thread = thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                confinement::enter_or_end(kind);
                work(&mut sources);
            })?;
        Ok(Self {
            end,
            thread: Some(thread),
        })
    }

    /// Starts a thread that serves the queues of a device whenever they are notified.
    ///
    /// # Errors
    ///
    /// If the process has no descriptors or threads left.
    pub fn serve<D: VirtioDevice>(name: &str, device: Arc<VirtioMmio<D>>) -> io::Result<Self> {
        let mut queues = Vec::new();
        for (index, notifier) in device.notifiers().iter().enumerate() {
            queues.push((index, notifier.try_clone()?));
        }
        Self::start_as(D::KIND, name, move |sources| {
            let listens = match device.source() {
                Some(Source::Level(source)) => sources.add(&source, SOURCE),
                Some(Source::Edges(source)) => sources.add_edges(&source, SOURCE),
                None => Ok(()),
            };
            if let Err(error) = listens {
                tracing::error!("a device does not hear of what comes for it: {error}");
            }
            for (index, notifier) in &queues {
                // Only a lack of the host's memory keeps a descriptor out.
                if let Err(error) = sources.add(notifier, *index as u64) {
                    tracing::error!("a device's queue is not served: {error}");
                }
            }
            while let Some(ready) = sources.wait() {
                for number in ready {
                    let found = queues.iter().find(|(index, _)| *index as u64 == number);
                    if let Some((index, notifier)) = found {
                        // It was written to, or another event of this round has emptied it.
                        let _ = notifier.read();
                        device.serve(*index);
                    } else if number == SOURCE {
                        device.attend();
                    }
                }
            }
        })
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let Some(thread) = self.thread.take() else {
            return;
        };
        // Fails only if it has been told already.
        let _ = self.end.write(1);
        // It may be in a system call, such as writing to a terminal that nobody reads from.
        while !thread.is_finished() {
            signal::interrupt(&thread);
            thread::sleep(PATIENCE);
        }
        // A panic has ended the process.
        let _ = thread.join();
    }
}

/// The descriptors that a worker waits for.
#[derive(Debug)]
pub struct Sources {
    epoll: Epoll,
    /// What tells the worker to end must stay open while `epoll` has it.
    _end: EventFd,
}

impl Sources {
    /// Waits for something to be readable, too. It must stay open until it is removed.
    ///
    /// # Errors
    ///
    /// If it cannot be waited for, as is so with files (`PermissionDenied`).
    pub fn add(&mut self, source: &impl AsRawFd, number: u64) -> io::Result<()> {
        self.add_number(source.as_raw_fd(), number)
    }

    /// Waits for something to become readable, too: what can be read already is told once, and
    /// then only what comes. It must stay open until it is removed.
    ///
    /// # Errors
    ///
    /// As [`Sources::add`].
    pub fn add_edges(&mut self, source: &impl AsRawFd, number: u64) -> io::Result<()> {
        let event = EpollEvent::new(EventSet::IN | EventSet::EDGE_TRIGGERED, number);
        self.epoll
            .ctl(ControlOperation::Add, source.as_raw_fd(), event)
    }

    fn add_number(&mut self, descriptor: RawFd, number: u64) -> io::Result<()> {
        let event = EpollEvent::new(EventSet::IN, number);
        self.epoll.ctl(ControlOperation::Add, descriptor, event)
    }

    /// Waits from now on for something else of what has been added.
    ///
    /// # Errors
    ///
    /// If it has not been added.
    pub fn change(
        &mut self,
        source: &impl AsRawFd,
        number: u64,
        interest: Interest,
    ) -> io::Result<()> {
        let set = match interest {
            Interest::Read => EventSet::IN,
            Interest::Write => EventSet::OUT,
        };
        let event = EpollEvent::new(set, number);
        self.epoll
            .ctl(ControlOperation::Modify, source.as_raw_fd(), event)
    }

    /// Does not wait for it any more.
    pub fn remove(&mut self, source: &impl AsRawFd) {
        let event = EpollEvent::default();
        // Fails only if it was not there.
        let _ = self
            .epoll
            .ctl(ControlOperation::Delete, source.as_raw_fd(), event);
    }

    /// The numbers of what can be read; `None` when the worker is to end.
    pub fn wait(&mut self) -> Option<Vec<u64>> {
        self.ready(-1)
    }

    /// Like [`Sources::wait`], but not longer than until then.
    pub fn wait_until(&mut self, until: Option<Instant>) -> Option<Vec<u64>> {
        let Some(until) = until else {
            return self.wait();
        };
        let left = until.saturating_duration_since(Instant::now());
        // A little longer than that, so that the time has come.
        let milliseconds = left.as_millis().saturating_add(1);
        self.ready(i32::try_from(milliseconds).unwrap_or(i32::MAX))
    }

    /// Like [`Sources::wait`], but does not wait.
    pub fn poll(&mut self) -> Option<Vec<u64>> {
        self.ready(0)
    }

    fn ready(&mut self, timeout: i32) -> Option<Vec<u64>> {
        let mut events = [EpollEvent::default(); MOST_EVENTS];
        let count = match self.epoll.wait(timeout, &mut events) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
            // There is no descriptor any more, so there is nothing to wait for.
            Err(_) => return None,
        };
        let ready: Vec<u64> = events[..count].iter().map(EpollEvent::data).collect();
        (!ready.contains(&END)).then_some(ready)
    }
}

/// What of a descriptor is waited for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Interest {
    /// That it can be read.
    Read,
    /// That it can be written to.
    Write,
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn a_worker_hears_of_events_and_ends() {
        let event = EventFd::new(EFD_NONBLOCK).unwrap();
        let (sender, receiver) = mpsc::channel();
        let source = event.try_clone().unwrap();
        let worker = Worker::start("test", move |sources| {
            sources.add(&source, 7).unwrap();
            while let Some(ready) = sources.wait() {
                if ready.contains(&7) {
                    sender.send(source.read().unwrap()).unwrap();
                }
            }
        })
        .unwrap();
        event.write(3).unwrap();
        assert_eq!(receiver.recv().unwrap(), 3);
        drop(worker);
        assert!(receiver.recv().is_err(), "the thread has ended");
    }

    #[test]
    fn a_worker_ends_out_of_a_system_call() {
        let (sender, receiver) = mpsc::channel();
        let worker = Worker::start("test", move |_| {
            let (mut reader, _writer) = io::pipe().unwrap();
            sender.send(()).unwrap();
            // Nobody ever writes.
            let result = io::Read::read(&mut reader, &mut [0]);
            assert_eq!(result.unwrap_err().kind(), io::ErrorKind::Interrupted);
        })
        .unwrap();
        receiver.recv().unwrap();
        drop(worker);
    }
}
