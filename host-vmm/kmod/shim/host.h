/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What the C files of the Realm kernel module share.
 *
 * Files. /dev/realm makes VM files; a VM file makes vCPU files, the file of the interrupt controller
 * and files for private memory. Each of them holds a reference to the VM, which ends with the last one,
 * in whatever order they are closed. vCPUs live as long as their VM.
 *
 * Locks, outermost first:
 *
 *	host_vms_lock		list of VMs
 *	host_vm.life		read by every call on a file of the VM, written by who ends the VM early
 *	host_vcpu.lock		one call at a time on a vCPU
 *	host_vm.lock		one call at a time that changes the VM
 *	(mmap_lock, the pool mutex; then whatever the kernel takes to allocate)
 *	host_vm.eventfds_lock	irqfds and ioeventfds come and go
 *	waitqueue of an eventfd, host_vm.irqfds_lock
 *	host_vm.interrupts	Rust's, around the state of the interrupt controller
 *
 * The lists of irqfds and ioeventfds are read under RCU.
 *
 * In KVM_RUN a thread may let go of the last file of another VM, by work that it sees to there. So nobody
 * waits for host_vm.life while host_vms_lock is held.
 */
#ifndef REALM_HOST_H
#define REALM_HOST_H

#include <linux/irq_work.h>
#include <linux/kref.h>
#include <linux/kvm.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/rcuwait.h>
#include <linux/rwsem.h>
#include <linux/spinlock.h>

#include "compat.h"
#include "core.h"

/* irqfds, and ioeventfds, that a VM has at most. */
#define HOST_MAX_EVENTFDS 1000

struct file;
struct mm_struct;
struct task_struct;
struct user_struct;

struct host_vm {
	struct kref refs;
	struct list_head link;
	/* The process that has made the VM; calls of others are refused. */
	struct mm_struct *mm;
	/* Whose limit of locked memory its pinned pages count in; NULL where none holds (CAP_IPC_LOCK). */
	struct user_struct *user;
	struct rw_semaphore life;
	/* No call begins any more, because the machine goes down. */
	bool stopping;
	struct mutex lock;
	raw_spinlock_t interrupts;
	/* NULL when the VM has ended. */
	struct realm_vm *core;
	/* By number, REALM_MAX_VCPUS of them; an entry that is there stays. */
	struct host_vcpu **vcpus;
	/* Parts of private memory that belong to slots; host_vm.lock. */
	struct list_head bindings;

	spinlock_t irqfds_lock;
	struct list_head irqfds;
	/* Those that have left the list and are not yet freed as well. */
	unsigned int irqfd_count;
	struct irq_work resample;
	struct mutex eventfds_lock;
	struct list_head ioeventfds;
	unsigned int ioeventfd_count;
};

struct host_vcpu {
	struct host_vm *vm;
	u32 index;
	struct mutex lock;
	/* NULL when the VM has ended. */
	struct realm_vcpu *core;
	/* Shared with the RMM, and with user space. */
	void *rec_run;
	struct kvm_run *run;
	/* The thread in KVM_RUN. */
	struct task_struct __rcu *task;
	struct rcuwait wait;
	bool started;
	/* Bytes of a read by the Realm that user space answers; 0 if there is none. */
	u8 mmio_read;
	struct rcu_head rcu;
};

/* main.c */
bool host_is_stopping(void);
int host_rmm_status(void);
void host_get_information(struct realm_information *information);
void host_get_limits(struct realm_limits *limits);
long host_check_extension(unsigned long capability);

/* vm.c */
extern struct list_head host_vms;
extern struct mutex host_vms_lock;
int host_vm_create(unsigned long type);
void host_vm_get(struct host_vm *vm);
void host_vm_put(struct host_vm *vm);
int host_vm_enter(struct host_vm *vm);
long host_vm_leave(struct host_vm *vm, long result);
void host_vm_stop_all(void);
int host_install(struct host_vm *vm, const char *name, const struct file_operations *operations,
		 void *private, int flags);

/* vcpu.c */
int host_vcpu_create(struct host_vm *vm, unsigned long index);
void host_vcpu_free(struct host_vcpu *vcpu);
void host_vcpu_kick(struct host_vcpu *vcpu);

/* memory.c */
int host_memory_create(struct host_vm *vm, const struct kvm_create_guest_memfd *create);
int host_memory_add_slot(struct host_vm *vm, const struct kvm_userspace_memory_region2 *region);
void host_memory_end(struct host_vm *vm);

/* eventfd.c */
int host_eventfd_init(void);
void host_eventfd_exit(void);
void host_eventfd_prepare(struct host_vm *vm);
int host_irqfd(struct host_vm *vm, const struct kvm_irqfd *args);
int host_ioeventfd(struct host_vm *vm, const struct kvm_ioeventfd *args);
bool host_ioeventfd_signal(struct host_vm *vm, u64 address, u64 size, u64 value);
void host_eventfd_end(struct host_vm *vm);

/* gic_device.c */
int host_device_create(struct host_vm *vm, struct kvm_create_device *create);

#endif
