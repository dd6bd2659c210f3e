use super::fake::configuration;
use super::*;

fn error(configuration: &Configuration) -> BackendError {
    let layout = Layout::new(configuration.memory, configuration.cpus);
    create(configuration, &layout, &OnceLock::new())
        .err()
        .unwrap()
}

#[test]
fn a_device_node_that_is_not_there_is_said_in_one_line() {
    let (folder, mut configuration) = configuration(true);
    let absent = folder.path().join("realm");
    configuration.device_nodes.realm = absent.clone();
    configuration.device_nodes.kvm = folder.path().join("kvm");
    for backend in [Backend::Auto, Backend::Module] {
        configuration.backend = backend;
        let error = error(&configuration);
        assert!(
            matches!(&error, BackendError::Missing { path, flavour: Flavour::Module } if *path == absent)
        );
        let line = error.to_string();
        assert!(line.contains("realm.ko") && !line.contains('\n'), "{line}");
    }
    configuration.backend = Backend::KvmCca;
    assert!(matches!(
        error(&configuration),
        BackendError::Missing {
            flavour: Flavour::KvmCca,
            ..
        }
    ));
    configuration.realm = None;
    configuration.backend = Backend::Auto;
    assert!(matches!(
        error(&configuration),
        BackendError::Missing {
            flavour: Flavour::Ordinary,
            ..
        }
    ));
}

#[test]
fn another_device_is_no_back_end() {
    let (_folder, mut configuration) = configuration(true);
    configuration.device_nodes.realm = "/dev/null".into();
    configuration.backend = Backend::Module;
    assert!(matches!(
        error(&configuration),
        BackendError::Foreign { .. }
    ));
}

#[test]
fn a_module_that_is_not_loaded_hides_no_other_error() {
    let missing = |flavour| BackendError::Missing {
        path: "/dev/node".into(),
        flavour,
    };
    let (kvm, module) = (|| missing(Flavour::KvmCca), || missing(Flavour::Module));
    let version = || BackendError::RmmVersion(RmiVersion(None), Flavour::KvmCca);
    let told = more_telling(version(), module());
    assert!(matches!(told, BackendError::RmmVersion(..)));
    for first in [BackendError::NoRealms, kvm()] {
        let told = more_telling(first, module());
        assert!(matches!(
            told,
            BackendError::Missing {
                flavour: Flavour::Module,
                ..
            }
        ));
    }
    let told = more_telling(version(), BackendError::NoRmm);
    assert!(matches!(told, BackendError::NoRmm));
}

#[test]
fn errors_of_opening_are_told_apart() {
    let opened = |number| {
        let error = io::Error::from_raw_os_error(number);
        opening(Path::new("/dev/realm"), Flavour::Module, error)
    };
    assert!(matches!(opened(libc::ENOENT), BackendError::Missing { .. }));
    assert!(matches!(opened(libc::EACCES), BackendError::Permission(_)));
    assert!(matches!(opened(libc::EPERM), BackendError::Permission(_)));
    assert!(matches!(opened(libc::EMFILE), BackendError::Open { .. }));
}

#[test]
fn a_back_end_runs_what_it_is_for() {
    let (_folder, mut configuration) = configuration(false);
    for backend in [Backend::Module, Backend::KvmCca] {
        configuration.backend = backend;
        assert!(matches!(
            error(&configuration),
            BackendError::Unsupported { .. }
        ));
    }
    configuration.realm = Some(crate::configuration::RealmOptions::default());
    configuration.backend = Backend::Kvm;
    assert!(matches!(
        error(&configuration),
        BackendError::Unsupported { .. }
    ));
}
