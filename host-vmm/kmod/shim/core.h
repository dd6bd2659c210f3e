/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Between the C half of the Realm kernel module and its Rust half (host-vmm/kmod/module).
 *
 * C owns every kernel object: files, locks, pages, threads, timers. Rust owns every decision. The
 * functions realm_* are Rust's and C calls them; the functions realm_host_* are C's and Rust calls
 * them. Whatever returns an int returns 0 or a negative error number, unless it says otherwise.
 *
 * Locks. They are all C's, taken in this order:
 *
 *   vCPU mutex       one per vCPU; held by KVM_RUN and the other calls on a vCPU
 *   VM mutex         one per VM; C takes it around the functions that say so
 *   pool mutex       one; Rust takes it by realm_host_lock_pool(), C never
 *   interrupt lock   one raw spin lock per VM; Rust takes it by realm_host_lock_interrupts(), C never
 *
 * So C must hold neither pool mutex nor interrupt lock when it calls Rust. "VM mutex" or "vCPU mutex"
 * with a function below means that the caller holds it; "any context" that interrupts may be off and
 * raw spin locks other than the interrupt lock may be held. All that says nothing else may sleep.
 * A function with the vCPU mutex alone may be called with preemption and interrupts off if it says so.
 */
#ifndef REALM_CORE_H
#define REALM_CORE_H

#include <linux/types.h>

#include "realm_uapi.h"

/* Rust's; C only keeps the pointers. */
struct realm_vm;
struct realm_vcpu;

/* vCPUs that a VM has at most, if the RMM does not want fewer (struct realm_limits). */
#define REALM_MAX_VCPUS 512

/* ---- Rust's: the module ---------------------------------------------------------------------- */

struct realm_limits {
	__u32 ipa_bits;   /* widest IPA space; the narrowest has 32 bits */
	__u32 vcpus;      /* per VM */
	__u32 slots;      /* per VM */
	__u32 reserved;
};

/*
 * When the module is loaded, before anything else. -ENODEV: there is no RMM; -EPROTONOSUPPORT: there
 * is one of another version. Both let the module load all the same (the device node then answers
 * KVM_CREATE_VM with that error), so call it once and keep the result.
 */
int realm_init(void);

/*
 * When the module is unloaded, with no VM left. Pages that were lost stay out of the kernel's reach
 * for ever; returns how many.
 */
__u64 realm_exit(void);

/* After realm_init(); also when that has failed. Fills in everything. May sleep (pool mutex). */
void realm_information(struct realm_information *information);
void realm_limits(struct realm_limits *limits);

/* A question about what the RMM has counted; -EINVAL for another index. Any context. */
int realm_rmm_statistics(__u64 index, __u64 words[3]);

/* ---- Rust's: VMs ----------------------------------------------------------------------------- */

/*
 * `context` is C's own; it comes back in calls of realm_host_* that are about this VM. `type` is the
 * argument of KVM_CREATE_VM. Without VM: any thread, may sleep.
 */
int realm_vm_create(__u64 type, void *context, struct realm_vm **vm);

/*
 * Ends the Realm in whatever state it is and gives all its memory back. Nobody uses the VM or one of
 * its vCPUs any more, and realm_vcpu_destroy() has been called for each vCPU. May take seconds; does
 * not fail and cannot be interrupted.
 */
void realm_vm_destroy(struct realm_vm *vm);

/* VM mutex, for all of these. */
int realm_vm_configure(struct realm_vm *vm, const struct realm_configuration *configuration);
/*
 * A slot; C has looked at number and flags, and checked file and offset of the private memory. All
 * of a slot is private at first. size 0 (removal) is refused here as well (-EBUSY).
 */
int realm_vm_add_slot(struct realm_vm *vm, __u32 slot, __u64 address, __u64 size,
		      __u64 userspace_address);
/* attributes: of KVM_SET_MEMORY_ATTRIBUTES. */
int realm_vm_set_attributes(struct realm_vm *vm, __u64 address, __u64 size, __u64 attributes);
/*
 * Advances the structure by what it has done, also when it fails (C copies it back to the caller in
 * any case). Calls realm_host_copy_from_user().
 */
int realm_vm_populate(struct realm_vm *vm, struct kvm_arm_rmi_populate *populate);
void realm_vm_statistics(struct realm_vm *vm, struct realm_statistics *statistics);

/*
 * The interrupt controller, VM mutex: KVM_CREATE_DEVICE (KVM_DEV_TYPE_ARM_VGIC_V3), and what
 * KVM_{SET,GET,HAS}_DEVICE_ATTR say on it. C reads the value at kvm_device_attr.addr and writes it
 * back: 64 bits for KVM_DEV_ARM_VGIC_GRP_ADDR, 32 bits for KVM_DEV_ARM_VGIC_GRP_NR_IRQS, none for
 * KVM_DEV_ARM_VGIC_GRP_CTRL. -ENXIO: no such attribute.
 */
int realm_vm_create_gic(struct realm_vm *vm);
int realm_vm_set_gic_attribute(struct realm_vm *vm, __u32 group, __u64 attribute, __u64 value);
int realm_vm_get_gic_attribute(struct realm_vm *vm, __u32 group, __u64 attribute, __u64 *value);
int realm_vm_has_gic_attribute(struct realm_vm *vm, __u32 group, __u64 attribute);

/*
 * Any context. `irq` as in KVM_IRQ_LINE on Arm: type in bits 27:24, vCPU in 23:16 (and 31:28 times
 * 256), number in 15:0. -ENXIO before the interrupt controller is initialised.
 */
int realm_vm_irq_line(struct realm_vm *vm, __u32 irq, bool level);
/*
 * Any context. An SPI by gsi (number - 32) for irqfd: an edge-triggered one is a level that goes up
 * and down in one call.
 */
int realm_vm_signal_spi(struct realm_vm *vm, __u32 gsi);
int realm_vm_set_spi(struct realm_vm *vm, __u32 gsi, bool level);
/*
 * Any context. From now on (or no longer) realm_host_resample() is called when the Realm is done
 * with this SPI.
 */
int realm_vm_watch_spi(struct realm_vm *vm, __u32 gsi, bool watch);

/* ---- Rust's: vCPUs --------------------------------------------------------------------------- */

/*
 * VM mutex. A vCPU and the page through which its REC runs: a page of the kernel's own, zeroed, that
 * lives until after realm_vcpu_destroy(). `index` is the vCPU's number. C keeps vCPUs by number for
 * realm_host_kick() before it makes the call. -EEXIST, -EINVAL (too many), -EBUSY (VM has started).
 */
int realm_vcpu_create(struct realm_vm *vm, __u32 index, void *run_page, __u64 run_page_physical,
		      struct realm_vcpu **vcpu);
/* Nobody uses the vCPU any more; its VM still lives. Does not end its REC. */
void realm_vcpu_destroy(struct realm_vcpu *vcpu);

/*
 * vCPU and VM mutex. Features are the bits of struct kvm_vcpu_init, which C flattens into words.
 * Registers are identified as in KVM_SET_ONE_REG; all that there are have 64 bits.
 */
int realm_vcpu_initialize(struct realm_vm *vm, struct realm_vcpu *vcpu, __u32 target,
			  const __u32 features[7]);
int realm_vcpu_set_register(struct realm_vm *vm, struct realm_vcpu *vcpu, __u64 id, __u64 value);
int realm_vcpu_get_register(struct realm_vm *vm, struct realm_vcpu *vcpu, __u64 id, __u64 *value);

/*
 * vCPU and VM mutex, at the beginning of each KVM_RUN until it has succeeded once for the vCPU. The first one of the VM builds and activates the Realm.
 */
int realm_vcpu_start(struct realm_vm *vm, struct realm_vcpu *vcpu);

/* vCPU and VM mutex: KVM_ARM_VCPU_RMI_PSCI_COMPLETE. */
int realm_vcpu_complete_psci(struct realm_vm *vm, struct realm_vcpu *vcpu,
			     const struct kvm_arm_rmi_psci_complete *complete);

/* What C does next. */
enum realm_action_kind {
	/* Go on with realm_vcpu_prepare(). */
	REALM_ACTION_RUN = 0,
	/* Enter the REC: RMI_REC_ENTER(data[0], data[1]), then realm_vcpu_exited(). */
	REALM_ACTION_ENTER = 1,
	/* Take the VM mutex, call realm_vcpu_handle() and do what that says. */
	REALM_ACTION_HANDLE = 2,
	/* Sleep until realm_vcpu_poll() says no more (or a signal), then REALM_ACTION_RUN. */
	REALM_ACTION_WAIT = 3,
	/*
	 * An access to a device: `address`, `size` bytes, a write of data[0] if `flags` is 1. A write
	 * that an ioeventfd takes goes on as REALM_ACTION_RUN; the others leave KVM_RUN as
	 * KVM_EXIT_MMIO. The next KVM_RUN hands over the value of a read by realm_vcpu_complete_mmio()
	 * before it calls realm_vcpu_prepare(); there is nothing to say about a write.
	 */
	REALM_ACTION_MMIO = 4,
	/* KVM_EXIT_MEMORY_FAULT and EFAULT: `address`, `size`, `flags`. */
	REALM_ACTION_MEMORY_FAULT = 5,
	/* KVM_EXIT_HYPERCALL: nr = data[0], args = data[1..3]. */
	REALM_ACTION_HYPERCALL = 6,
	/* KVM_EXIT_SYSTEM_EVENT: type in `flags` (KVM_SYSTEM_EVENT_*), no data. */
	REALM_ACTION_SYSTEM_EVENT = 7,
	/* KVM_EXIT_INTERNAL_ERROR: data[0], and data[1] says what it is (README). */
	REALM_ACTION_FAIL = 8,
};

struct realm_action {
	__u32 kind; /* enum realm_action_kind */
	__u32 reserved;
	__u64 flags;
	__u64 address;
	__u64 size;
	__u64 data[4];
};

/*
 * vCPU mutex for the rest. KVM_RUN is
 *
 *	realm_vcpu_start() once; realm_vcpu_complete_mmio() after an exit for a read
 *	action = RUN
 *	loop:
 *	  RUN:    preemption and interrupts off; a signal, a resched or a kick to see to? then on again, and
 *	          see to it; else realm_vcpu_prepare(). If that says ENTER: SMC, realm_vcpu_exited(), on.
 *	  HANDLE: VM mutex, realm_vcpu_handle()
 *	  WAIT:   sleep
 *	  others: leave
 *
 * A kick (realm_host_kick) that arrives after the interrupts went off must send the CPU an interrupt:
 * the REC then exits at once. `now` is the physical counter (CNTPCT_EL0), which Realms see unshifted.
 */

/* Interrupts may be off. Says ENTER, or something else that must be done before. */
void realm_vcpu_prepare(struct realm_vcpu *vcpu, __u64 now, struct realm_action *action);
/* Interrupts may be off. x0 is that of RMI_REC_ENTER. */
void realm_vcpu_exited(struct realm_vcpu *vcpu, __u64 x0, __u64 now, struct realm_action *action);
/* vCPU and VM mutex; sleeps. An error leaves KVM_RUN with it, and the next run tries again. */
int realm_vcpu_handle(struct realm_vm *vm, struct realm_vcpu *vcpu, struct realm_action *action);
void realm_vcpu_complete_mmio(struct realm_vcpu *vcpu, __u64 value);
/*
 * Any context. Whether the vCPU has a reason to run. If not, `deadline` is the counter value at which
 * to ask again without having been kicked, or all ones.
 */
bool realm_vcpu_poll(struct realm_vcpu *vcpu, __u64 now, __u64 *deadline);

/* ---- C's: the kernel as Rust sees it --------------------------------------------------------- */

/* arm_smccc_1_2_smc with X0 to X7, which come back in the same place. Any context. */
void realm_host_rmi(__u64 registers[8]);

/*
 * 2^order physically contiguous pages of normal memory, aligned to their size, that nobody else
 * uses; -ENOMEM rather than trying hard, for order > 0. They are in the kernel's linear map and may be
 * accounted to the caller's memory cgroup. give_pages() gives back exactly what was taken.
 */
int realm_host_take_pages(__u32 order, __u64 *physical);
void realm_host_give_pages(__u64 physical, __u32 order);
/*
 * Makes single pages of what take_pages() gave with an order above 0. From then on they are given back
 * by the other function, all at once or some now and some later.
 */
void realm_host_split_pages(__u64 physical, __u32 order);
void realm_host_give_single_pages(__u64 physical, __u64 count);

/* Writes to a page from realm_host_take_pages(). offset + length is at most 4096; today it is all of it. */
void realm_host_write_page(__u64 physical, __u64 offset, const void *bytes, __u64 length);
/* Fills such a page from 4096 bytes of the caller's memory. -EFAULT. */
int realm_host_copy_from_user(__u64 physical, __u64 source);

/*
 * The page of the VM's process at a page-aligned address, pinned for long, writable, and accounted:
 * -EFAULT, -ENOMEM. The process is the one that created the VM; the caller may be another (-EFAULT).
 */
int realm_host_pin(void *context, __u64 address, __u64 *physical);
void realm_host_unpin(void *context, __u64 physical);

/* The pool mutex, uninterruptible. */
void realm_host_lock_pool(void);
void realm_host_unlock_pool(void);

/* The interrupt lock of a VM: raw_spin_lock_irqsave, gives the flags. */
unsigned long realm_host_lock_interrupts(void *context);
void realm_host_unlock_interrupts(void *context, unsigned long flags);

/*
 * A vCPU has something to see to: wake it if it waits, interrupt it if it runs. Interrupts may be off,
 * the interrupt lock is not held; a vCPU that C does not know (yet) is none of its business.
 */
void realm_host_kick(void *context, __u32 index);
/* The Realm is done with a watched SPI. Interrupts may be off. C signals its eventfds. */
void realm_host_resample(void *context, __u32 gsi);

/* Memory for Rust's own data, zero not wanted; NULL if there is none. kvmalloc, kvfree. */
void *realm_host_allocate(__u64 size, __u64 align);
void realm_host_free(void *pointer);

/* cond_resched(), whether a fatal signal waits, and the monotonic clock. */
void realm_host_rest(void);
bool realm_host_interrupted(void);
__u64 realm_host_nanoseconds(void);

/* A line for the log, without newline: level as in printk (3 error, 4 warning, 6 information). */
void realm_host_log(__u32 level, const char *text, __u64 length);
/* Rust has found itself in a state that cannot be. Says so and does not return. */
void realm_host_panic(const char *text, __u64 length) __attribute__((noreturn));

#endif
