/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * /dev/realm: what user space says to the Realm kernel module.
 *
 * The interface is KVM's (linux/kvm.h), on a device node of its own, with what the patches for
 * Arm CCA hosts (series v12, populate in place as in v13) add to it, and one call for what those
 * patches leave out. host-vmm/kmod/README.md lists what each call does here.
 */
#ifndef REALM_UAPI_H
#define REALM_UAPI_H

#include <linux/ioctl.h>
#include <linux/types.h>

/* KVM_CREATE_VM: a Realm, with the width of its IPA space in bits 7:0. */
#define REALM_VM_TYPE 0x100UL

/* On a vCPU: the answer to the PSCI call that this vCPU has exited with. */
struct kvm_arm_rmi_psci_complete {
	__u64 target_mpidr;
	__u32 psci_status;
	__u32 padding[3];
};
#define KVM_ARM_VCPU_RMI_PSCI_COMPLETE _IOW(0xAE, 0xd6, struct kvm_arm_rmi_psci_complete)

/* On a VM: copies memory of the caller into private memory, before the first run. */
#define KVM_ARM_RMI_POPULATE_FLAGS_MEASURE (1U << 0)
struct kvm_arm_rmi_populate {
	__u64 base;
	__u64 size;
	__u64 source_uaddr;
	__u32 flags;
	__u32 reserved;
};
#define KVM_ARM_RMI_POPULATE _IOWR(0xAE, 0xd7, struct kvm_arm_rmi_populate)

/* On a VM, before the first populate and the first run: parameters of the Realm. */
#define REALM_CONFIGURE_SVE (1U << 0)
#define REALM_CONFIGURE_PMU (1U << 1)
#define REALM_HASH_SHA256 0
#define REALM_HASH_SHA512 1
struct realm_configuration {
	__u32 flags;
	__u8 hash_algorithm;
	__u8 sve_vl;        /* vector length / 128 bits - 1, with REALM_CONFIGURE_SVE */
	__u8 pmu_counters;  /* event counters, with REALM_CONFIGURE_PMU */
	__u8 breakpoints;   /* number - 1, at least 1 */
	__u8 watchpoints;   /* number - 1, at least 1 */
	__u8 reserved[7];   /* zero */
	__u8 personalization_value[64];
};
#define REALM_CONFIGURE _IOW(0xAE, 0xf0, struct realm_configuration)

/* On the device node: what is known of the RMM, and how much memory Realms have. */
struct realm_information {
	__u32 module_interface; /* REALM_MODULE_INTERFACE */
	__u16 rmi_major;
	__u16 rmi_minor;
	__u64 features;         /* RMI_FEATURES(0) */
	__u64 realms;           /* that live */
	__u64 pages_owned;      /* of the module, delegated or not */
	__u64 pages_delegated;
	__u64 pages_lost;       /* that the RMM did not give back */
};
#define REALM_MODULE_INTERFACE 1
#define REALM_INFORMATION _IOR(0xAE, 0xf1, struct realm_information)

/* On a VM: how its private memory is mapped, and how long its building took. */
struct realm_statistics {
	__u64 pages_private;      /* 4 KiB pages that the Realm has, those in blocks included */
	__u64 blocks_private;     /* of 2 MiB */
	__u64 pages_shared;       /* of the caller, pinned */
	__u64 tables;
	__u64 populate_nanoseconds;
	__u64 faults;             /* of private memory */
	__u64 reserved[2];
};
#define REALM_STATISTICS _IOR(0xAE, 0xf2, struct realm_statistics)

/*
 * On the device node, with CAP_SYS_ADMIN: what the RMM has counted and noted (docs/statistics.md). An
 * RMM that counts nothing answers zeroes.
 */
struct realm_rmm_statistics {
	__u64 index;     /* the question: of RMI_FEATURES, with CLST in the upper half */
	__u64 words[3];  /* X1 to X3 of the answer */
	__u64 counter;   /* CNTPCT_EL0 after it: the RMM's events have such times */
	__u64 frequency; /* of that counter, in Hz */
};
#define REALM_RMM_STATISTICS _IOWR(0xAE, 0xf3, struct realm_rmm_statistics)

#endif
