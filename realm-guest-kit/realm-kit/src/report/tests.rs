//! Requests to a kernel of this program's own, which can be told to misbehave.

use std::collections::BTreeMap;

use super::*;

/// A request as the kernel keeps it.
#[derive(Default)]
struct Request {
    challenge: Vec<u8>,
    writes: u32,
}

/// The kernel's folder, with what goes wrong in it.
#[derive(Default)]
struct Kernel {
    requests: BTreeMap<String, Request>,
    made: u32,
    provider: Option<&'static str>,
    missing: Option<Missing>,
    /// Error numbers of making a request, of reading a token, of removing a request.
    create_error: Option<i32>,
    token_error: Option<i32>,
    remove_error: Option<i32>,
    /// So often somebody else writes after us.
    disturbances: u32,
    /// So often the token belongs to something older.
    stale: u32,
    /// The kernel does not take what is written.
    is_deaf: bool,
    taken_names: u32,
    token_is_empty: bool,
}

fn error(number: Option<i32>) -> io::Result<()> {
    number.map_or(Ok(()), |number| Err(io::Error::from_raw_os_error(number)))
}

impl ReportFolder for Kernel {
    fn create(&mut self, request: &str) -> io::Result<()> {
        error(self.create_error)?;
        if self.taken_names > 0 {
            self.taken_names -= 1;
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.made += 1;
        let before = self.requests.insert(request.to_owned(), Request::default());
        assert!(before.is_none());
        Ok(())
    }

    fn remove(&mut self, request: &str) -> io::Result<()> {
        assert!(self.requests.remove(request).is_some());
        error(self.remove_error)
    }

    fn write(&mut self, request: &str, attribute: Attribute, bytes: &[u8]) -> io::Result<()> {
        assert_eq!(attribute, Attribute::Challenge);
        if self.is_deaf {
            return Ok(());
        }
        let request = self.requests.get_mut(request).unwrap();
        request.challenge = bytes.to_vec();
        request.writes += 1;
        Ok(())
    }

    fn read(&mut self, request: &str, attribute: Attribute) -> io::Result<Vec<u8>> {
        let request = self.requests.get_mut(request).unwrap();
        match attribute {
            Attribute::Provider => {
                let provider = self.provider.unwrap_or("arm_cca_guest\n");
                Ok(provider.as_bytes().to_vec())
            }
            Attribute::Generation => Ok(format!("{}\n", request.writes).into_bytes()),
            Attribute::Challenge => panic!("the challenge cannot be read"),
            Attribute::Token => {
                error(self.token_error)?;
                if self.stale > 0 {
                    self.stale -= 1;
                    return Err(WOULD_BLOCK.into());
                }
                if self.disturbances > 0 {
                    self.disturbances -= 1;
                    request.challenge = vec![0xEE; 64];
                    request.writes += 1;
                }
                if self.token_is_empty {
                    return Ok(Vec::new());
                }
                Ok([b"token over ", request.challenge.as_slice()].concat())
            }
        }
    }

    fn missing(&self) -> Option<Missing> {
        self.missing.clone()
    }
}

const CHALLENGE: [u8; 64] = [7; 64];

/// What comes of a request. Whatever that is, no request may be left.
fn outcome(mut kernel: Kernel) -> Result<Vec<u8>, ReportError> {
    let result = fetch(&mut kernel, &CHALLENGE);
    assert!(kernel.requests.is_empty(), "a request is left");
    result
}

fn good() -> Vec<u8> {
    [b"token over ".as_slice(), &CHALLENGE].concat()
}

#[test]
fn a_token_is_over_the_challenge() {
    assert_eq!(outcome(Kernel::default()).unwrap(), good());
}

#[test]
fn somebody_who_writes_between_is_noticed_and_outlived() {
    for times in 1..ATTEMPTS {
        let kernel = Kernel {
            disturbances: times,
            ..Kernel::default()
        };
        assert_eq!(outcome(kernel).unwrap(), good(), "{times}");
        let kernel = Kernel {
            stale: times,
            ..Kernel::default()
        };
        assert_eq!(outcome(kernel).unwrap(), good(), "{times}");
    }
    for (disturbances, stale) in [(ATTEMPTS, 0), (0, ATTEMPTS), (u32::MAX, 0), (0, u32::MAX)] {
        let kernel = Kernel {
            disturbances,
            stale,
            ..Kernel::default()
        };
        assert!(matches!(outcome(kernel), Err(ReportError::Disturbed)));
    }
}

#[test]
fn a_challenge_that_the_kernel_does_not_take_gives_no_token() {
    let kernel = Kernel {
        is_deaf: true,
        ..Kernel::default()
    };
    assert!(matches!(outcome(kernel), Err(ReportError::Disturbed)));
}

#[test]
fn names_that_are_taken_are_passed_over() {
    let kernel = |taken_names| Kernel {
        taken_names,
        ..Kernel::default()
    };
    assert_eq!(outcome(kernel(NAMES - 1)).unwrap(), good());
    assert!(matches!(outcome(kernel(NAMES)), Err(ReportError::Names)));
}

#[test]
fn another_provider_is_not_asked() {
    let kernel = Kernel {
        provider: Some("sev_guest\n"),
        ..Kernel::default()
    };
    let error = outcome(kernel).unwrap_err();
    assert!(error.is_absence());
    assert!(error.to_string().contains("'sev_guest'"), "{error}");
}

#[test]
fn errors_of_the_kernel_are_told_apart() {
    const EACCES: i32 = 13;
    const ENXIO: i32 = 6;
    const EINVAL: i32 = 22;
    const EIO: i32 = 5;
    let create = |number| {
        outcome(Kernel {
            create_error: Some(number),
            ..Kernel::default()
        })
    };
    assert!(matches!(create(ENXIO), Err(ReportError::NoProvider)));
    assert!(matches!(create(EACCES), Err(ReportError::Permission)));
    assert!(matches!(create(EINVAL), Err(ReportError::Create(_))));
    let kernel = Kernel {
        token_error: Some(EIO),
        ..Kernel::default()
    };
    let error = outcome(kernel).unwrap_err();
    assert!(!error.is_absence());
    assert!(error.to_string().contains("'outblob'"), "{error}");
    let kernel = Kernel {
        remove_error: Some(EIO),
        ..Kernel::default()
    };
    assert!(matches!(outcome(kernel), Err(ReportError::Remove(_))));
    let kernel = Kernel {
        token_is_empty: true,
        ..Kernel::default()
    };
    assert!(matches!(outcome(kernel), Err(ReportError::Empty)));
}

#[test]
fn nothing_is_asked_of_a_system_that_lacks_something() {
    let mut kernel = Kernel {
        missing: Some(Missing::Configfs),
        ..Kernel::default()
    };
    let error = fetch(&mut kernel, &CHALLENGE).unwrap_err();
    assert!(error.is_absence());
    assert_eq!(kernel.made, 0);
}
