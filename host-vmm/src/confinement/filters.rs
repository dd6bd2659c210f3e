//! Filters of system calls: what each kind of thread needs.

use std::collections::BTreeMap;

use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition,
    SeccompFilter, SeccompRule, TargetArch,
};

use super::{Kind, Seccomp};

#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: TargetArch = TargetArch::aarch64;
#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: TargetArch = TargetArch::x86_64;

/// System calls by their names in `libc`.
macro_rules! calls {
    ($($name:ident)*) => { &[$((stringify!($name), libc::$name)),*] };
}

type Calls = &'static [(&'static str, libc::c_long)];

/// What every thread needs, whatever the arguments: descriptors that are open, memory, time, its own
/// end.
const EVERYBODY: Calls = calls! {
    SYS_read SYS_readv SYS_pread64 SYS_preadv SYS_write SYS_writev SYS_pwrite64 SYS_pwritev
    SYS_lseek SYS_fstat SYS_close SYS_fsync SYS_fdatasync SYS_fallocate
    SYS_epoll_ctl SYS_epoll_pwait SYS_ppoll SYS_eventfd2
    SYS_munmap SYS_mremap SYS_madvise SYS_brk
    SYS_futex SYS_sched_yield SYS_sched_getaffinity SYS_membarrier SYS_set_robust_list SYS_rseq
    SYS_clock_gettime SYS_clock_nanosleep SYS_nanosleep SYS_gettimeofday SYS_restart_syscall
    SYS_rt_sigprocmask SYS_rt_sigreturn SYS_sigaltstack
    SYS_timerfd_settime SYS_shutdown
    SYS_gettid SYS_getpid SYS_getrandom SYS_exit SYS_exit_group
};

/// The same, of architectures that have calls of their own for it.
#[cfg(target_arch = "x86_64")]
const EVERYBODY_HERE: Calls = calls! { SYS_epoll_wait SYS_poll };
#[cfg(target_arch = "aarch64")]
const EVERYBODY_HERE: Calls = &[];

/// Connections that come, on a socket that listens.
const CONNECTIONS: Calls = calls! {
    SYS_accept4 SYS_recvfrom
    SYS_getsockopt SYS_setsockopt SYS_getsockname SYS_getpeername
};

/// Removing the control socket.
const REMOVAL: Calls = calls! { SYS_unlinkat };
#[cfg(target_arch = "x86_64")]
const REMOVAL_HERE: Calls = calls! { SYS_unlink };
#[cfg(target_arch = "aarch64")]
const REMOVAL_HERE: Calls = &[];

/// Making a machine again of what is open, confining its threads, and telling the service manager.
const LAUNCH: Calls = calls! {
    SYS_epoll_create1 SYS_timerfd_create SYS_dup SYS_seccomp SYS_capset SYS_capget
    SYS_landlock_restrict_self SYS_clone3 SYS_wait4
};

/// What attacks are likely to try, for its name in the message.
const OFTEN_REFUSED: Calls = calls! {
    SYS_openat SYS_openat2 SYS_execve SYS_execveat SYS_clone SYS_clone3 SYS_socket SYS_connect SYS_bind
    SYS_listen SYS_ptrace SYS_mmap SYS_mprotect SYS_ioctl SYS_fcntl SYS_prctl SYS_kill SYS_tkill
    SYS_tgkill SYS_rt_sigaction SYS_sendto SYS_sendmsg SYS_recvmsg SYS_memfd_create SYS_process_vm_writev SYS_process_vm_readv
    SYS_io_uring_setup SYS_bpf SYS_userfaultfd SYS_unshare SYS_setns SYS_mount SYS_pivot_root
    SYS_chroot SYS_finit_module SYS_init_module SYS_unlinkat SYS_linkat SYS_renameat2 SYS_mkdirat
    SYS_getdents64 SYS_faccessat SYS_statx SYS_newfstatat SYS_readlinkat SYS_socketpair SYS_dup
    SYS_dup3 SYS_pipe2 SYS_epoll_create1 SYS_setuid SYS_setresuid SYS_capset SYS_seccomp
};
#[cfg(target_arch = "x86_64")]
const OFTEN_REFUSED_HERE: Calls = calls! {
    SYS_open SYS_fork SYS_vfork SYS_creat SYS_unlink SYS_stat SYS_access SYS_readlink SYS_dup2 SYS_pipe
};
#[cfg(target_arch = "aarch64")]
const OFTEN_REFUSED_HERE: Calls = &[];

/// The name of a system call that somebody may want to know.
pub(super) fn name(number: i32) -> Option<&'static str> {
    let tables = [
        EVERYBODY,
        CONNECTIONS,
        LAUNCH,
        OFTEN_REFUSED,
        OFTEN_REFUSED_HERE,
    ];
    let mut calls = tables.into_iter().flatten();
    let (name, _) = calls.find(|(_, call)| *call == libc::c_long::from(number))?;
    name.strip_prefix("SYS_")
}

// Requests of `ioctl`, which the C libraries have as numbers of different types.
/// Those that tell of a terminal, and put it back.
const TERMINAL: [u64; 4] = [0x5401, 0x5402, 0x540b, 0x5413];
/// `FIONBIO`.
const NONBLOCKING: u64 = 0x5421;
/// KVM's letter, in bits 15:8, of calls by their numbers in bits 7:0.
const KVM: u64 = 0xae00;
/// `KVM_RUN`, `KVM_GET_ONE_REG`, `KVM_SET_ONE_REG`, `KVM_SET_MEMORY_ATTRIBUTES`,
/// `KVM_ARM_VCPU_RMI_PSCI_COMPLETE`.
const KVM_OF_VCPU: [u64; 5] = [0x80, 0xab, 0xac, 0xd2, 0xd6];
/// `REALM_STATISTICS`.
const KVM_STATISTICS: u64 = 0xf2;
/// `TUNSETOFFLOAD`: what a tap interface leaves to the guest, which its driver chooses.
const TAP_OFFLOAD: u64 = 0x4004_54d0;
/// Letter and number of a request, without its size and direction.
const LETTER_AND_NUMBER: u64 = 0xffff;
const LETTER: u64 = 0xff00;

/// Operations of `fcntl`: with descriptors, none with owners or locks.
const DESCRIPTORS: [libc::c_int; 5] = [
    libc::F_DUPFD_CLOEXEC,
    libc::F_GETFD,
    libc::F_SETFD,
    libc::F_GETFL,
    libc::F_SETFL,
];

/// Operations of `prctl` for everybody: names of threads, and of memory (`PR_SET_VMA`).
const NAMES: [u64; 3] = [
    libc::PR_SET_NAME as u64,
    libc::PR_GET_NAME as u64,
    0x5356_4d41,
];
/// Those that confine a thread.
const CONFINES: [libc::c_int; 3] = [
    libc::PR_SET_NO_NEW_PRIVS,
    libc::PR_CAPBSET_DROP,
    libc::PR_CAP_AMBIENT,
];

/// Flags of `clone` that a thread has and a process has not.
const THREAD: u64 = (libc::CLONE_VM | libc::CLONE_THREAD | libc::CLONE_SIGHAND) as u64;

type Rules = BTreeMap<i64, Vec<SeccompRule>>;
type Built<T> = Result<T, BackendError>;

/// A condition on the lower 32 bits of an argument; those are all that these calls look at.
fn word(argument: u8, operator: SeccompCmpOp, value: u64) -> Built<SeccompRule> {
    let condition = SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value)?;
    SeccompRule::new(vec![condition])
}

fn equal(argument: u8, value: u64) -> Built<SeccompRule> {
    word(argument, SeccompCmpOp::Eq, value)
}

fn masked(argument: u8, mask: u64, value: u64) -> Built<SeccompRule> {
    word(argument, SeccompCmpOp::MaskedEq(mask), value)
}

fn number(value: libc::c_int) -> u64 {
    u64::from(value.unsigned_abs())
}

/// What is being built.
#[derive(Default)]
struct Builder(Rules);

impl Builder {
    /// Calls that may have any arguments.
    fn any(&mut self, calls: Calls) {
        for (_, call) in calls {
            self.0.insert(*call, Vec::new());
        }
    }

    /// A call that fits one more rule.
    fn rule(&mut self, call: libc::c_long, rule: SeccompRule) {
        self.0.entry(call).or_default().push(rule);
    }

    fn everybody(&mut self) -> Built<()> {
        self.any(EVERYBODY);
        self.any(EVERYBODY_HERE);
        for call in [libc::SYS_mmap, libc::SYS_mprotect] {
            self.rule(call, masked(2, number(libc::PROT_EXEC), 0)?);
        }
        // A path that is empty stands for the descriptor: the size of a file that is open.
        let empty_path = number(libc::AT_EMPTY_PATH);
        self.rule(libc::SYS_newfstatat, masked(3, empty_path, empty_path)?);
        self.rule(libc::SYS_statx, masked(2, empty_path, empty_path)?);
        for request in TERMINAL {
            self.rule(libc::SYS_ioctl, equal(1, request)?);
        }
        for operation in DESCRIPTORS {
            self.rule(libc::SYS_fcntl, equal(1, number(operation))?);
        }
        for operation in NAMES {
            self.rule(libc::SYS_prctl, equal(0, operation)?);
        }
        // The end after a panic, and nothing of other processes: see also [`own_end`].
        let process = u64::from(std::process::id());
        self.rule(libc::SYS_tgkill, equal(0, process)?);
        self.rule(libc::SYS_tkill, equal(1, number(libc::SIGABRT))?);
        self.rule(libc::SYS_rt_sigaction, equal(0, number(libc::SIGABRT))?);
        Ok(())
    }

    fn kvm(&mut self, requests: &[u64]) -> Built<()> {
        for request in requests {
            let rule = masked(1, LETTER_AND_NUMBER, KVM | request)?;
            self.rule(libc::SYS_ioctl, rule);
        }
        Ok(())
    }

    /// Sending to whom a socket is connected, and to nobody by an address.
    fn sending(&mut self) -> Built<()> {
        const ADDRESS: u8 = 4;
        let none = SeccompCondition::new(ADDRESS, SeccompCmpArgLen::Qword, SeccompCmpOp::Eq, 0)?;
        self.rule(libc::SYS_sendto, SeccompRule::new(vec![none])?);
        Ok(())
    }

    fn connections(&mut self) -> Built<()> {
        self.any(CONNECTIONS);
        self.sending()?;
        self.rule(libc::SYS_ioctl, equal(1, NONBLOCKING)?);
        Ok(())
    }

    fn main(&mut self) -> Built<()> {
        self.any(LAUNCH);
        self.sending()?;
        self.any(REMOVAL);
        self.any(REMOVAL_HERE);
        self.rule(libc::SYS_clone, masked(0, THREAD, THREAD)?);
        self.rule(libc::SYS_ioctl, masked(1, LETTER, KVM)?);
        for request in [NONBLOCKING, TAP_OFFLOAD] {
            self.rule(libc::SYS_ioctl, equal(1, request)?);
        }
        for operation in CONFINES {
            self.rule(libc::SYS_prctl, equal(0, number(operation))?);
        }
        Ok(())
    }

    fn finish(self, otherwise: SeccompAction, fits: SeccompAction) -> Built<BpfProgram> {
        SeccompFilter::new(self.0, otherwise, fits, ARCHITECTURE)?.try_into()
    }
}

/// A filter beside those of [`build`], for the thread of this number: with `tkill` it ends itself and nobody
/// else, in whatever process.
pub(super) fn own_end(thread: u64, seccomp: Seccomp) -> Built<BpfProgram> {
    let of_another = SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, thread)?;
    let abort = number(libc::SIGABRT);
    let ends = SeccompCondition::new(1, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, abort)?;
    let mut builder = Builder::default();
    builder.rule(libc::SYS_tkill, SeccompRule::new(vec![of_another, ends])?);
    builder.finish(SeccompAction::Allow, refusal(seccomp))
}

const fn refusal(seccomp: Seccomp) -> SeccompAction {
    match seccomp {
        Seccomp::Log => SeccompAction::Log,
        Seccomp::Kill | Seccomp::Off => SeccompAction::Trap,
    }
}

/// The filters of a kind of thread.
pub(super) fn build(kind: Kind, seccomp: Seccomp) -> Built<Vec<BpfProgram>> {
    let mut builder = Builder::default();
    builder.everybody()?;
    match kind {
        Kind::Vcpu => {
            builder.kvm(&KVM_OF_VCPU)?;
            builder.rule(libc::SYS_ioctl, equal(1, TAP_OFFLOAD)?);
        }
        Kind::Device => {}
        Kind::Sockets => {
            builder.connections()?;
            builder.any(calls! { SYS_connect });
            let family = equal(0, number(libc::AF_UNIX))?;
            builder.rule(libc::SYS_socket, family);
        }
        Kind::Control => {
            builder.connections()?;
            builder.kvm(&[KVM_STATISTICS])?;
            builder.any(REMOVAL);
            builder.any(REMOVAL_HERE);
        }
        Kind::Main => builder.main()?,
    }
    let mut filters = vec![builder.finish(refusal(seccomp), SeccompAction::Allow)?];
    if kind == Kind::Main {
        // Its flags are in memory, where a filter does not see them. C libraries take `clone` when
        // there is no such call.
        let mut builder = Builder::default();
        builder.any(calls! { SYS_clone3 });
        let missing = SeccompAction::Errno(libc::ENOSYS.unsigned_abs());
        filters.push(builder.finish(SeccompAction::Allow, missing)?);
    }
    Ok(filters)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_that_are_refused_have_names() {
        let name_of = |call: libc::c_long| name(i32::try_from(call).unwrap());
        assert_eq!(name_of(libc::SYS_openat), Some("openat"));
        assert_eq!(name_of(libc::SYS_execve), Some("execve"));
        assert_eq!(name(-1), None);
    }

    #[test]
    fn no_kind_has_what_opens_files_or_starts_programs() {
        for kind in Kind::ALL {
            for refused in [Seccomp::Kill, Seccomp::Log] {
                let filters = build(kind, refused).unwrap();
                assert!(!filters.is_empty());
            }
        }
        let tables = [EVERYBODY, EVERYBODY_HERE, CONNECTIONS, REMOVAL, LAUNCH];
        let allowed = || tables.into_iter().flatten().map(|(name, _)| *name);
        for name in [
            "SYS_openat",
            "SYS_execve",
            "SYS_ptrace",
            "SYS_socket",
            "SYS_clone",
            "SYS_mmap",
            "SYS_ioctl",
        ] {
            assert!(!allowed().any(|other| other == name), "{name}");
        }
    }
}
