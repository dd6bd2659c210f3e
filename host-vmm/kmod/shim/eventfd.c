// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * Eventfds that are interrupts of a VM (irqfd), and writes of a VM that are eventfds (ioeventfd).
 *
 * An irqfd is called from the waitqueue of its eventfd, with that locked. It leaves the list of its VM
 * when user space says so, when its eventfd is closed, or when the VM ends; a worker then takes it out
 * of the waitqueue and frees it.
 */
#define pr_fmt(fmt) "realm: " fmt

#include <linux/eventfd.h>
#include <linux/file.h>
#include <linux/poll.h>
#include <linux/rculist.h>
#include <linux/slab.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "host.h"

/* SPIs have the numbers 32 to 1019. */
#define HOST_SPIS 988

struct host_irqfd {
	struct list_head link;
	struct host_vm *vm;
	struct eventfd_ctx *eventfd;
	/* Signalled when the Realm is done with the interrupt: it is a level then, else an edge. */
	struct eventfd_ctx *resample;
	u32 gsi;
	/* Left the list; irqfds_lock. */
	bool ended;
	/* The Realm is done, and `resample` not yet signalled. */
	atomic_t done;
	wait_queue_entry_t wait;
	poll_table table;
	struct work_struct end;
};

struct host_ioeventfd {
	struct list_head link;
	struct eventfd_ctx *eventfd;
	u64 address;
	/* 0: an access of any size. */
	u32 size;
	bool any_value;
	u64 value;
};

static struct workqueue_struct *irqfd_ends;

int host_eventfd_init(void)
{
	irqfd_ends = alloc_workqueue("realm-irqfd", WQ_UNBOUND, 0);
	return irqfd_ends ? 0 : -ENOMEM;
}

void host_eventfd_exit(void)
{
	destroy_workqueue(irqfd_ends);
}

static void irqfd_free(struct host_irqfd *irqfd)
{
	if (irqfd->resample)
		eventfd_ctx_put(irqfd->resample);
	if (irqfd->eventfd)
		eventfd_ctx_put(irqfd->eventfd);
	kfree(irqfd);
}

static void irqfd_inject(struct host_irqfd *irqfd)
{
	struct realm_vm *core = irqfd->vm->core;

	/* An interrupt controller that is not there yet, or has no such SPI, has nothing to lose. */
	if (irqfd->resample)
		realm_vm_set_spi(core, irqfd->gsi, true);
	else
		realm_vm_signal_spi(core, irqfd->gsi);
}

/* With irqfds_lock held. */
static void irqfd_leave(struct host_irqfd *irqfd)
{
	lockdep_assert_held(&irqfd->vm->irqfds_lock);
	if (irqfd->ended)
		return;
	irqfd->ended = true;
	list_del_rcu(&irqfd->link);
	queue_work(irqfd_ends, &irqfd->end);
}

static int irqfd_wake(wait_queue_entry_t *wait, unsigned int mode, int sync, void *key)
{
	struct host_irqfd *irqfd = container_of(wait, struct host_irqfd, wait);
	__poll_t events = key_to_poll(key);
	unsigned long flags;
	u64 count;

	if (events & EPOLLIN) {
		eventfd_ctx_do_read(irqfd->eventfd, &count);
		irqfd_inject(irqfd);
	}
	if (events & EPOLLHUP) {
		spin_lock_irqsave(&irqfd->vm->irqfds_lock, flags);
		irqfd_leave(irqfd);
		spin_unlock_irqrestore(&irqfd->vm->irqfds_lock, flags);
	}
	return 0;
}

static void irqfd_queue(struct file *file, wait_queue_head_t *head, poll_table *table)
{
	struct host_irqfd *irqfd = container_of(table, struct host_irqfd, table);

	add_wait_queue(head, &irqfd->wait);
}

/* Whether a level of this SPI is still somebody's. With eventfds_lock held. */
static bool irqfd_is_watched(struct host_vm *vm, u32 gsi)
{
	struct host_irqfd *irqfd;
	bool found = false;

	spin_lock_irq(&vm->irqfds_lock);
	list_for_each_entry(irqfd, &vm->irqfds, link)
		found |= irqfd->resample && irqfd->gsi == gsi;
	spin_unlock_irq(&vm->irqfds_lock);
	return found;
}

static void irqfd_end(struct work_struct *work)
{
	struct host_irqfd *irqfd = container_of(work, struct host_irqfd, end);
	struct host_vm *vm = irqfd->vm;
	u64 count;

	eventfd_ctx_remove_wait_queue(irqfd->eventfd, &irqfd->wait, &count);
	synchronize_rcu();
	if (irqfd->resample) {
		mutex_lock(&vm->eventfds_lock);
		if (!irqfd_is_watched(vm, irqfd->gsi)) {
			realm_vm_watch_spi(vm->core, irqfd->gsi, false);
			realm_vm_set_spi(vm->core, irqfd->gsi, false);
		}
		mutex_unlock(&vm->eventfds_lock);
	}
	irqfd_free(irqfd);
	/* Only now: else there would be no limit to those that wait for this worker. */
	spin_lock_irq(&vm->irqfds_lock);
	vm->irqfd_count--;
	spin_unlock_irq(&vm->irqfds_lock);
}

/* Rust, with the interrupt lock held: what eventfds do must wait until it is not. */
void realm_host_resample(void *context, __u32 gsi)
{
	struct host_vm *vm = context;
	struct host_irqfd *irqfd;
	bool found = false;

	rcu_read_lock();
	list_for_each_entry_rcu(irqfd, &vm->irqfds, link) {
		if (irqfd->resample && irqfd->gsi == gsi) {
			atomic_set(&irqfd->done, 1);
			found = true;
		}
	}
	rcu_read_unlock();
	if (found)
		irq_work_queue(&vm->resample);
}

static void resample(struct irq_work *work)
{
	struct host_vm *vm = container_of(work, struct host_vm, resample);
	struct host_irqfd *irqfd;

	rcu_read_lock();
	list_for_each_entry_rcu(irqfd, &vm->irqfds, link) {
		if (atomic_xchg(&irqfd->done, 0)) {
			realm_vm_set_spi(vm->core, irqfd->gsi, false);
			eventfd_signal(irqfd->resample);
		}
	}
	rcu_read_unlock();
}

void host_eventfd_prepare(struct host_vm *vm)
{
	spin_lock_init(&vm->irqfds_lock);
	mutex_init(&vm->eventfds_lock);
	INIT_LIST_HEAD(&vm->irqfds);
	INIT_LIST_HEAD(&vm->ioeventfds);
	init_irq_work(&vm->resample, resample);
}

/* Into the list, if nobody else is called by this eventfd. */
static int irqfd_join(struct host_irqfd *irqfd)
{
	struct host_vm *vm = irqfd->vm;
	struct host_irqfd *other;
	int error = 0;

	spin_lock_irq(&vm->irqfds_lock);
	list_for_each_entry(other, &vm->irqfds, link)
		if (other->eventfd == irqfd->eventfd)
			error = -EBUSY;
	if (!error && vm->irqfd_count >= HOST_MAX_EVENTFDS)
		error = -ENOSPC;
	if (!error) {
		vm->irqfd_count++;
		list_add_tail_rcu(&irqfd->link, &vm->irqfds);
	}
	spin_unlock_irq(&vm->irqfds_lock);
	return error;
}

/*
 * With eventfds_lock held, so that nobody else deassigns it meanwhile; its eventfd cannot be closed
 * while the file is held.
 */
static int irqfd_connect(struct host_irqfd *irqfd, struct file *file)
{
	struct host_vm *vm = irqfd->vm;
	int error;

	if (irqfd->resample) {
		error = realm_vm_watch_spi(vm->core, irqfd->gsi, true);
		if (error)
			return error;
	}
	error = irqfd_join(irqfd);
	if (error) {
		if (irqfd->resample && !irqfd_is_watched(vm, irqfd->gsi))
			realm_vm_watch_spi(vm->core, irqfd->gsi, false);
		return error;
	}
	/* It may have been signalled before. */
	if (vfs_poll(file, &irqfd->table) & EPOLLIN)
		irqfd_inject(irqfd);
	return 0;
}

static int irqfd_assign(struct host_vm *vm, const struct kvm_irqfd *args)
{
	struct host_irqfd *irqfd;
	struct eventfd_ctx *eventfd;
	struct file *file;
	int error;

	if (args->gsi >= HOST_SPIS)
		return -EINVAL;
	file = eventfd_fget(args->fd);
	if (IS_ERR(file))
		return PTR_ERR(file);
	error = -ENOMEM;
	irqfd = kzalloc(sizeof(*irqfd), GFP_KERNEL_ACCOUNT);
	if (!irqfd)
		goto out_file;
	irqfd->vm = vm;
	irqfd->gsi = args->gsi;
	init_waitqueue_func_entry(&irqfd->wait, irqfd_wake);
	init_poll_funcptr(&irqfd->table, irqfd_queue);
	INIT_WORK(&irqfd->end, irqfd_end);

	eventfd = eventfd_ctx_fileget(file);
	error = PTR_ERR_OR_ZERO(eventfd);
	if (error)
		goto out_free;
	irqfd->eventfd = eventfd;
	if (args->flags & KVM_IRQFD_FLAG_RESAMPLE) {
		eventfd = eventfd_ctx_fdget(args->resamplefd);
		error = PTR_ERR_OR_ZERO(eventfd);
		if (error)
			goto out_free;
		irqfd->resample = eventfd;
	}
	mutex_lock(&vm->eventfds_lock);
	error = irqfd_connect(irqfd, file);
	mutex_unlock(&vm->eventfds_lock);
out_free:
	if (error)
		irqfd_free(irqfd);
out_file:
	/* Now it may be closed. */
	fput(file);
	return error;
}

static int irqfd_deassign(struct host_vm *vm, const struct kvm_irqfd *args)
{
	struct host_irqfd *irqfd, *next;
	struct eventfd_ctx *eventfd;

	eventfd = eventfd_ctx_fdget(args->fd);
	if (IS_ERR(eventfd))
		return PTR_ERR(eventfd);
	mutex_lock(&vm->eventfds_lock);
	spin_lock_irq(&vm->irqfds_lock);
	list_for_each_entry_safe(irqfd, next, &vm->irqfds, link)
		if (irqfd->eventfd == eventfd && irqfd->gsi == args->gsi)
			irqfd_leave(irqfd);
	spin_unlock_irq(&vm->irqfds_lock);
	mutex_unlock(&vm->eventfds_lock);
	eventfd_ctx_put(eventfd);
	/* Nothing comes from it after this call. */
	flush_workqueue(irqfd_ends);
	return 0;
}

int host_irqfd(struct host_vm *vm, const struct kvm_irqfd *args)
{
	if (args->flags & ~(KVM_IRQFD_FLAG_DEASSIGN | KVM_IRQFD_FLAG_RESAMPLE))
		return -EINVAL;
	if (args->flags & KVM_IRQFD_FLAG_DEASSIGN)
		return irqfd_deassign(vm, args);
	return irqfd_assign(vm, args);
}

static void ioeventfd_free(struct host_ioeventfd *ioeventfd)
{
	eventfd_ctx_put(ioeventfd->eventfd);
	kfree(ioeventfd);
}

/* Whether one write could be for both. */
static bool ioeventfd_clashes(const struct host_ioeventfd *one, const struct host_ioeventfd *other)
{
	return one->address == other->address &&
	       (!one->size || !other->size || one->size == other->size) &&
	       (one->any_value || other->any_value || one->value == other->value);
}

/* With eventfds_lock held. */
static int ioeventfd_add(struct host_vm *vm, struct host_ioeventfd *ioeventfd)
{
	struct host_ioeventfd *other;

	list_for_each_entry(other, &vm->ioeventfds, link)
		if (ioeventfd_clashes(ioeventfd, other))
			return -EEXIST;
	if (vm->ioeventfd_count >= HOST_MAX_EVENTFDS)
		return -ENOSPC;
	vm->ioeventfd_count++;
	list_add_tail_rcu(&ioeventfd->link, &vm->ioeventfds);
	return 0;
}

/* With eventfds_lock held; gives the one that is the same, out of the list. */
static struct host_ioeventfd *ioeventfd_remove(struct host_vm *vm, const struct host_ioeventfd *wanted)
{
	struct host_ioeventfd *ioeventfd;

	list_for_each_entry(ioeventfd, &vm->ioeventfds, link) {
		if (ioeventfd->eventfd == wanted->eventfd && ioeventfd->address == wanted->address &&
		    ioeventfd->size == wanted->size && ioeventfd->any_value == wanted->any_value &&
		    (ioeventfd->any_value || ioeventfd->value == wanted->value)) {
			vm->ioeventfd_count--;
			list_del_rcu(&ioeventfd->link);
			return ioeventfd;
		}
	}
	return NULL;
}

int host_ioeventfd(struct host_vm *vm, const struct kvm_ioeventfd *args)
{
	struct host_ioeventfd *ioeventfd, *removed = NULL;
	struct eventfd_ctx *eventfd;
	bool deassign = args->flags & KVM_IOEVENTFD_FLAG_DEASSIGN;
	int error = 0;

	if (args->flags & ~(KVM_IOEVENTFD_FLAG_DATAMATCH | KVM_IOEVENTFD_FLAG_DEASSIGN))
		return -EINVAL;
	if (args->len != 0 && args->len != 1 && args->len != 2 && args->len != 4 && args->len != 8)
		return -EINVAL;
	if (!args->len && args->flags & KVM_IOEVENTFD_FLAG_DATAMATCH)
		return -EINVAL;
	if (args->addr + args->len < args->addr)
		return -EINVAL;
	eventfd = eventfd_ctx_fdget(args->fd);
	if (IS_ERR(eventfd))
		return PTR_ERR(eventfd);
	ioeventfd = kzalloc(sizeof(*ioeventfd), GFP_KERNEL_ACCOUNT);
	if (!ioeventfd) {
		eventfd_ctx_put(eventfd);
		return -ENOMEM;
	}
	ioeventfd->eventfd = eventfd;
	ioeventfd->address = args->addr;
	ioeventfd->size = args->len;
	ioeventfd->any_value = !(args->flags & KVM_IOEVENTFD_FLAG_DATAMATCH);
	ioeventfd->value = args->datamatch;

	mutex_lock(&vm->eventfds_lock);
	if (deassign) {
		removed = ioeventfd_remove(vm, ioeventfd);
		error = removed ? 0 : -ENOENT;
	} else {
		error = ioeventfd_add(vm, ioeventfd);
	}
	mutex_unlock(&vm->eventfds_lock);
	if (removed) {
		synchronize_rcu();
		ioeventfd_free(removed);
	}
	if (deassign || error)
		ioeventfd_free(ioeventfd);
	return error;
}

/* A write of the Realm: whether somebody waits for it, who is then told. */
bool host_ioeventfd_signal(struct host_vm *vm, u64 address, u64 size, u64 value)
{
	struct host_ioeventfd *ioeventfd;
	bool found = false;

	rcu_read_lock();
	list_for_each_entry_rcu(ioeventfd, &vm->ioeventfds, link) {
		if (ioeventfd->address == address && (!ioeventfd->size || ioeventfd->size == size) &&
		    (ioeventfd->any_value || ioeventfd->value == value)) {
			eventfd_signal(ioeventfd->eventfd);
			found = true;
			break;
		}
	}
	rcu_read_unlock();
	return found;
}

/* The VM still has its Rust half, and no vCPU runs. */
void host_eventfd_end(struct host_vm *vm)
{
	struct host_ioeventfd *ioeventfd, *next_ioeventfd;
	struct host_irqfd *irqfd, *next;

	spin_lock_irq(&vm->irqfds_lock);
	list_for_each_entry_safe(irqfd, next, &vm->irqfds, link)
		irqfd_leave(irqfd);
	spin_unlock_irq(&vm->irqfds_lock);
	/* Also those whose eventfds have been closed a moment ago. */
	flush_workqueue(irqfd_ends);
	irq_work_sync(&vm->resample);

	/* Nobody reads this list without a vCPU that runs. */
	list_for_each_entry_safe(ioeventfd, next_ioeventfd, &vm->ioeventfds, link)
		ioeventfd_free(ioeventfd);
	INIT_LIST_HEAD(&vm->ioeventfds);
}
