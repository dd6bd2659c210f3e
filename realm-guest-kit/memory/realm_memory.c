// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * Memory that a Realm gives back to its host while it runs, and gets again, in blocks of 2 MiB.
 *
 * The host says how much it wants in the configuration space of a memory balloon (virtio 1.2, section
 * 5.5), and sees there how much it has. Nothing else of that device is used. A block is given back by
 * making it shared with the host: its RIPAS becomes EMPTY, the host destroys the private memory, and
 * nobody ever touches the shared alias, so that the host needs nothing for it. It comes again as RAM of
 * which the RMM has made sure that it holds nothing.
 *
 * The kernel's own balloon driver cannot do this: its queues want to be in memory that devices reach by
 * plain addresses, and what a host takes away from a Realm without a change of RIPAS is destroyed for
 * good.
 */
#include <linux/gfp.h>
#include <linux/jiffies.h>
#include <linux/list.h>
#include <linux/mem_encrypt.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/set_memory.h>
#include <linux/slab.h>
#include <linux/virtio.h>
#include <linux/virtio_balloon.h>
#include <linux/virtio_config.h>
#include <linux/workqueue.h>
#include <asm/rsi.h>

#define BLOCK_ORDER 9
#define BLOCK_PAGES (1U << BLOCK_ORDER)

/* After no block could be had, or the host has refused one. */
#define PAUSE (2 * HZ)

/* Blocks that are moved before the work is queued again: a host that changes its mind holds nobody up. */
#define BLOCKS_PER_RUN 64

struct balloon {
	struct virtio_device *device;
	/* Of its own, and for any CPU: moving blocks takes long, and others' work is not to wait for it. */
	struct workqueue_struct *queue;
	struct delayed_work work;
	/* Blocks that the host has. */
	struct list_head blocks;
	u32 count;
	/* Blocks that the host has and does not give back: nobody uses them again. */
	u32 lost;
	bool told;
};

static void tell(struct balloon *balloon)
{
	u32 pages = (balloon->count + balloon->lost) * BLOCK_PAGES;

	virtio_cwrite_le(balloon->device, struct virtio_balloon_config, actual, &pages);
}

static u32 wanted(struct balloon *balloon)
{
	u32 pages;

	virtio_cread_le(balloon->device, struct virtio_balloon_config, num_pages, &pages);
	return pages / BLOCK_PAGES;
}

static int give(struct balloon *balloon)
{
	struct page *block;

	/* What can be had without driving others out, whatever the host asks for: it can wait. */
	if (si_mem_available() < (long)(totalram_pages() / 16 + BLOCK_PAGES))
		return -ENOMEM;
	block = alloc_pages(GFP_HIGHUSER | __GFP_NOMEMALLOC | __GFP_NORETRY | __GFP_NOWARN, BLOCK_ORDER);
	if (!block)
		return -ENOMEM;
	if (set_memory_decrypted((unsigned long)page_address(block), BLOCK_PAGES)) {
		/* Some of it may be shared, so nobody may use it. */
		balloon->lost++;
		return -EIO;
	}
	adjust_managed_page_count(block, -(long)BLOCK_PAGES);
	list_add(&block->lru, &balloon->blocks);
	balloon->count++;
	return 0;
}

static int take(struct balloon *balloon)
{
	struct page *block = list_first_entry(&balloon->blocks, struct page, lru);

	list_del(&block->lru);
	balloon->count--;
	if (set_memory_encrypted((unsigned long)page_address(block), BLOCK_PAGES)) {
		balloon->lost++;
		return -EIO;
	}
	adjust_managed_page_count(block, BLOCK_PAGES);
	__free_pages(block, BLOCK_ORDER);
	return 0;
}

static void move(struct work_struct *work)
{
	struct balloon *balloon = container_of(to_delayed_work(work), struct balloon, work);
	unsigned long pause = 0;
	int result, block;

	for (block = 0; block < BLOCKS_PER_RUN; block++) {
		u32 target = wanted(balloon);

		if (balloon->count + balloon->lost < target)
			result = give(balloon);
		else if (balloon->count && balloon->count + balloon->lost > target)
			result = take(balloon);
		else
			return;
		tell(balloon);
		if (result) {
			pause = PAUSE;
			break;
		}
		cond_resched();
	}
	if (result == -EIO && !balloon->told) {
		balloon->told = true;
		dev_warn(&balloon->device->dev,
			 "the host does not take or give memory as asked; such memory is lost\n");
	}
	queue_delayed_work(balloon->queue, &balloon->work, pause);
}

static void changed(struct virtio_device *device)
{
	struct balloon *balloon = device->priv;

	mod_delayed_work(balloon->queue, &balloon->work, 0);
}

static int probe(struct virtio_device *device)
{
	struct balloon *balloon;
	int result = -ENOMEM;

	if (!is_realm_world())
		return -ENODEV;
	balloon = kzalloc(sizeof(*balloon), GFP_KERNEL);
	if (!balloon)
		return -ENOMEM;
	balloon->device = device;
	balloon->queue = alloc_workqueue("realm-memory", WQ_UNBOUND, 1);
	if (!balloon->queue)
		goto without_queue;
	INIT_LIST_HEAD(&balloon->blocks);
	INIT_DELAYED_WORK(&balloon->work, move);
	device->priv = balloon;
	/* Of no queue: with them the transport takes its interrupt, by which the host tells of changes. */
	result = virtio_find_vqs(device, 0, NULL, NULL, NULL);
	if (result)
		goto without_interrupt;
	virtio_device_ready(device);
	tell(balloon);
	queue_delayed_work(balloon->queue, &balloon->work, 0);
	return 0;

without_interrupt:
	destroy_workqueue(balloon->queue);
without_queue:
	kfree(balloon);
	return result;
}

static void remove(struct virtio_device *device)
{
	struct balloon *balloon = device->priv;

	cancel_delayed_work_sync(&balloon->work);
	while (balloon->count)
		take(balloon);
	tell(balloon);
	virtio_reset_device(device);
	device->config->del_vqs(device);
	destroy_workqueue(balloon->queue);
	kfree(balloon);
}

static const struct virtio_device_id ids[] = {
	{ VIRTIO_ID_BALLOON, VIRTIO_DEV_ANY_ID },
	{ },
};
MODULE_DEVICE_TABLE(virtio, ids);

static struct virtio_driver realm_memory = {
	.driver.name = KBUILD_MODNAME,
	.id_table = ids,
	.probe = probe,
	.remove = remove,
	.config_changed = changed,
};
module_virtio_driver(realm_memory);

MODULE_DESCRIPTION("Memory that a Realm gives back to its host, and gets again");
MODULE_LICENSE("Dual MIT/GPL");
