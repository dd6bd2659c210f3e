// SPDX-License-Identifier: MIT OR Apache-2.0
/* VM files, and how VMs live and end. */
#define pr_fmt(fmt) "realm: " fmt

#include <linux/anon_inodes.h>
#include <linux/capability.h>
#include <linux/cred.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/module.h>
#include <linux/sched/mm.h>
#include <linux/sched/user.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "host.h"

/* How long the end of the machine waits, all in all, for VMs that are held up by their own processes. */
#define STOP_LIMIT (30 * HZ)

LIST_HEAD(host_vms);
DEFINE_MUTEX(host_vms_lock);

void host_vm_get(struct host_vm *vm)
{
	kref_get(&vm->refs);
}

/*
 * Ends the Realm, if it has not ended. With host_vm.life held for writing: nobody else uses the VM, or ever
 * will but to let go of it.
 */
static void host_vm_end(struct host_vm *vm)
{
	unsigned int index;

	if (!vm->core)
		return;
	host_eventfd_end(vm);
	for (index = 0; index < REALM_MAX_VCPUS; index++) {
		struct host_vcpu *vcpu = vm->vcpus[index];

		if (vcpu) {
			realm_vcpu_destroy(vcpu->core);
			vcpu->core = NULL;
		}
	}
	realm_vm_destroy(vm->core);
	WRITE_ONCE(vm->core, NULL);
	host_memory_end(vm);
}

static void host_vm_free(struct host_vm *vm)
{
	unsigned int index;

	for (index = 0; index < REALM_MAX_VCPUS; index++)
		if (vm->vcpus[index])
			host_vcpu_free(vm->vcpus[index]);
	kvfree(vm->vcpus);
	if (vm->user)
		free_uid(vm->user);
	mmdrop(vm->mm);
	kfree(vm);
}

static void host_vm_release(struct kref *refs)
{
	struct host_vm *vm = container_of(refs, struct host_vm, refs);

	/* For the sake of host_vm_stop_all() alone. */
	down_write(&vm->life);
	host_vm_end(vm);
	up_write(&vm->life);
	/* Only now, because a VM in the list keeps the machine from going to sleep. */
	mutex_lock(&host_vms_lock);
	list_del(&vm->link);
	mutex_unlock(&host_vms_lock);
	host_vm_free(vm);
}

void host_vm_put(struct host_vm *vm)
{
	kref_put(&vm->refs, host_vm_release);
}

/*
 * Around every call on a file of the VM. Its process has the address space that slots and pinned pages
 * are about, so it is the only one that may use it.
 */
int host_vm_enter(struct host_vm *vm)
{
	int error;

	if (vm->mm != current->mm)
		return -EIO;
	/* Whoever waits to end the VM is not kept waiting by those who come late. */
	if (READ_ONCE(vm->stopping))
		return -ESHUTDOWN;
	error = down_read_killable(&vm->life);
	if (error)
		return error;
	if (READ_ONCE(vm->stopping)) {
		up_read(&vm->life);
		return -ESHUTDOWN;
	}
	return 0;
}

/* After it, with the result of the call; gives what the caller gets. */
long host_vm_leave(struct host_vm *vm, long result)
{
	/* Whatever takes long is broken off when the machine goes down, as for a signal. */
	if (result == -EINTR && host_is_stopping())
		result = -ESHUTDOWN;
	up_read(&vm->life);
	return result;
}

/* Sends all vCPUs back to their callers. */
static void host_vm_interrupt(struct host_vm *vm)
{
	unsigned int index;

	WRITE_ONCE(vm->stopping, true);
	/* Before looking who runs; pairs with the order in KVM_RUN: first its task, then `stopping`. */
	smp_mb();
	rcu_read_lock();
	for (index = 0; index < REALM_MAX_VCPUS; index++) {
		struct host_vcpu *vcpu = READ_ONCE(vm->vcpus[index]);

		if (vcpu)
			host_vcpu_kick(vcpu);
	}
	rcu_read_unlock();
}

/*
 * Ends all Realms that nobody is in a call on; gives the number of those that are left. With host_vms_lock
 * held, so that none of the VMs goes away meanwhile.
 */
static unsigned int host_vm_end_idle(void)
{
	struct host_vm *vm;
	unsigned int left = 0;

	list_for_each_entry(vm, &host_vms, link) {
		if (!READ_ONCE(vm->core))
			continue;
		if (!down_write_trylock(&vm->life)) {
			left++;
			continue;
		}
		host_vm_end(vm);
		up_write(&vm->life);
	}
	return left;
}

/*
 * For when no VM is created any more. A call may be held up by a page of its caller that somebody else
 * provides: the machine waits once for all of those, and starts to when there is nothing else left to do.
 */
void host_vm_stop_all(void)
{
	unsigned int left, before = UINT_MAX;
	unsigned long deadline = 0;
	struct host_vm *vm;

	mutex_lock(&host_vms_lock);
	list_for_each_entry(vm, &host_vms, link)
		host_vm_interrupt(vm);
	mutex_unlock(&host_vms_lock);
	for (;;) {
		mutex_lock(&host_vms_lock);
		left = host_vm_end_idle();
		mutex_unlock(&host_vms_lock);
		if (!left)
			return;
		if (left < before)
			deadline = jiffies + STOP_LIMIT;
		else if (time_after(jiffies, deadline))
			break;
		before = left;
		schedule_timeout_uninterruptible(1);
	}
	pr_emerg("%u Realms are still in use, their memory stays with the Realm world\n", left);
}

static int vm_configure(struct host_vm *vm, void __user *argument)
{
	struct realm_configuration configuration;
	int error;

	if (copy_from_user(&configuration, argument, sizeof(configuration)))
		return -EFAULT;
	error = mutex_lock_killable(&vm->lock);
	if (error)
		return error;
	error = realm_vm_configure(vm->core, &configuration);
	mutex_unlock(&vm->lock);
	return error;
}

static int vm_set_memory(struct host_vm *vm, void __user *argument)
{
	struct kvm_userspace_memory_region2 region;
	int error;

	if (copy_from_user(&region, argument, sizeof(region)))
		return -EFAULT;
	error = mutex_lock_killable(&vm->lock);
	if (error)
		return error;
	error = host_memory_add_slot(vm, &region);
	mutex_unlock(&vm->lock);
	return error;
}

static int vm_set_attributes(struct host_vm *vm, void __user *argument)
{
	struct kvm_memory_attributes attributes;
	int error;

	if (copy_from_user(&attributes, argument, sizeof(attributes)))
		return -EFAULT;
	if (attributes.flags)
		return -EINVAL;
	error = mutex_lock_killable(&vm->lock);
	if (error)
		return error;
	error = realm_vm_set_attributes(vm->core, attributes.address, attributes.size,
					attributes.attributes);
	mutex_unlock(&vm->lock);
	return error;
}

static int vm_populate(struct host_vm *vm, void __user *argument)
{
	struct kvm_arm_rmi_populate populate;
	int error;

	if (copy_from_user(&populate, argument, sizeof(populate)))
		return -EFAULT;
	if (populate.reserved)
		return -EINVAL;
	error = mutex_lock_killable(&vm->lock);
	if (error)
		return error;
	error = realm_vm_populate(vm->core, &populate);
	mutex_unlock(&vm->lock);
	if (copy_to_user(argument, &populate, sizeof(populate)))
		return -EFAULT;
	return error;
}

static int vm_create_memory(struct host_vm *vm, void __user *argument)
{
	struct kvm_create_guest_memfd create;

	if (copy_from_user(&create, argument, sizeof(create)))
		return -EFAULT;
	return host_memory_create(vm, &create);
}

static int vm_create_device(struct host_vm *vm, void __user *argument)
{
	struct kvm_create_device create;
	int error;

	if (copy_from_user(&create, argument, sizeof(create)))
		return -EFAULT;
	error = host_device_create(vm, &create);
	if (error)
		return error;
	if (copy_to_user(argument, &create, sizeof(create)))
		return -EFAULT;
	return 0;
}

static int vm_irq_line(struct host_vm *vm, void __user *argument)
{
	struct kvm_irq_level level;

	if (copy_from_user(&level, argument, sizeof(level)))
		return -EFAULT;
	return realm_vm_irq_line(vm->core, level.irq, level.level);
}

static int vm_irqfd(struct host_vm *vm, void __user *argument)
{
	struct kvm_irqfd args;

	if (copy_from_user(&args, argument, sizeof(args)))
		return -EFAULT;
	return host_irqfd(vm, &args);
}

static int vm_ioeventfd(struct host_vm *vm, void __user *argument)
{
	struct kvm_ioeventfd args;

	if (copy_from_user(&args, argument, sizeof(args)))
		return -EFAULT;
	return host_ioeventfd(vm, &args);
}

static int vm_preferred_target(void __user *argument)
{
	struct kvm_vcpu_init init = { .target = KVM_ARM_TARGET_GENERIC_V8 };

	return copy_to_user(argument, &init, sizeof(init)) ? -EFAULT : 0;
}

static int vm_statistics(struct host_vm *vm, void __user *argument)
{
	struct realm_statistics statistics = {};
	int error;

	error = mutex_lock_killable(&vm->lock);
	if (error)
		return error;
	realm_vm_statistics(vm->core, &statistics);
	mutex_unlock(&vm->lock);
	return copy_to_user(argument, &statistics, sizeof(statistics)) ? -EFAULT : 0;
}

static long vm_call(struct host_vm *vm, unsigned int command, unsigned long argument)
{
	void __user *pointer = (void __user *)argument;

	switch (command) {
	case KVM_CHECK_EXTENSION:
		return host_check_extension(argument);
	case REALM_CONFIGURE:
		return vm_configure(vm, pointer);
	case KVM_CREATE_GUEST_MEMFD:
		return vm_create_memory(vm, pointer);
	case KVM_SET_USER_MEMORY_REGION2:
		return vm_set_memory(vm, pointer);
	case KVM_SET_MEMORY_ATTRIBUTES:
		return vm_set_attributes(vm, pointer);
	case KVM_ARM_RMI_POPULATE:
		return vm_populate(vm, pointer);
	case KVM_CREATE_DEVICE:
		return vm_create_device(vm, pointer);
	case KVM_CREATE_VCPU:
		return host_vcpu_create(vm, argument);
	case KVM_ARM_PREFERRED_TARGET:
		return vm_preferred_target(pointer);
	case KVM_IRQ_LINE:
		return vm_irq_line(vm, pointer);
	case KVM_IRQFD:
		return vm_irqfd(vm, pointer);
	case KVM_IOEVENTFD:
		return vm_ioeventfd(vm, pointer);
	case REALM_STATISTICS:
		return vm_statistics(vm, pointer);
	default:
		return -ENOTTY;
	}
}

static long vm_ioctl(struct file *file, unsigned int command, unsigned long argument)
{
	struct host_vm *vm = file->private_data;
	long result;

	result = host_vm_enter(vm);
	if (result)
		return result;
	return host_vm_leave(vm, vm_call(vm, command, argument));
}

static int vm_release(struct inode *inode, struct file *file)
{
	host_vm_put(file->private_data);
	return 0;
}

static const struct file_operations vm_operations = {
	.owner = THIS_MODULE,
	.unlocked_ioctl = vm_ioctl,
	.release = vm_release,
	.llseek = noop_llseek,
};

/*
 * A descriptor for a file that holds the VM; the file's release function lets go of it. Must be the last
 * thing that can fail, because other threads can use the descriptor at once.
 */
int host_install(struct host_vm *vm, const char *name, const struct file_operations *operations,
		 void *private, int flags)
{
	struct file *file;
	int fd;

	fd = get_unused_fd_flags(O_CLOEXEC);
	if (fd < 0)
		return fd;
	host_vm_get(vm);
	file = anon_inode_getfile(name, operations, private, flags);
	if (IS_ERR(file)) {
		host_vm_put(vm);
		put_unused_fd(fd);
		return PTR_ERR(file);
	}
	fd_install(fd, file);
	return fd;
}

static struct host_vm *host_vm_allocate(void)
{
	struct host_vm *vm = kzalloc(sizeof(*vm), GFP_KERNEL_ACCOUNT);

	if (!vm)
		return NULL;
	vm->vcpus = kvcalloc(REALM_MAX_VCPUS, sizeof(vm->vcpus[0]), GFP_KERNEL_ACCOUNT);
	if (!vm->vcpus) {
		kfree(vm);
		return NULL;
	}
	kref_init(&vm->refs);
	init_rwsem(&vm->life);
	mutex_init(&vm->lock);
	raw_spin_lock_init(&vm->interrupts);
	INIT_LIST_HEAD(&vm->bindings);
	host_eventfd_prepare(vm);
	vm->mm = current->mm;
	mmgrab(vm->mm);
	if (!capable(CAP_IPC_LOCK))
		vm->user = get_uid(current_user());
	return vm;
}

int host_vm_create(unsigned long type)
{
	struct host_vm *vm = host_vm_allocate();
	int result;

	if (!vm)
		return -ENOMEM;
	mutex_lock(&host_vms_lock);
	result = host_rmm_status();
	if (!result)
		result = realm_vm_create(type, vm, &vm->core);
	if (!result)
		list_add_tail(&vm->link, &host_vms);
	mutex_unlock(&host_vms_lock);
	if (result) {
		host_vm_free(vm);
		return result;
	}
	result = host_install(vm, "realm-vm", &vm_operations, vm, O_RDWR);
	host_vm_put(vm);
	return result;
}
