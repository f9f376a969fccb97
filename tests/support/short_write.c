/* Makes one write of one thread a short one: the system is asked to take half of it.
 *
 * Preloaded, and told by the file that SHORT_WRITE names: the thread, the call (1: write,
 * 2: pwrite64), and how many of its calls are left, that one included; then what became of it. */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

struct order {
    volatile int32_t thread, call, left, struck;
};

enum { WRITE = 1, PWRITE64 = 2 };
enum { COUNTER_OCTETS = 8 }; /* what is written into an eventfd, and never in halves */

static struct order *order;

__attribute__((constructor)) static void look(void)
{
    const char *path = getenv("SHORT_WRITE");
    int descriptor = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (descriptor < 0)
        return;
    void *place = mmap(NULL, sizeof *order, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    close(descriptor);
    if (place != MAP_FAILED)
        order = place;
}

static size_t granted(int call, size_t octets)
{
    if (!order || order->call != call || order->left <= 0
        || order->thread != (int32_t)syscall(SYS_gettid))
        return octets;
    if (--order->left > 0 || octets <= COUNTER_OCTETS)
        return octets;
    order->struck = 1;
    return octets / 2;
}

ssize_t write(int descriptor, const void *octets, size_t count)
{
    return syscall(SYS_write, descriptor, octets, granted(WRITE, count));
}

ssize_t pwrite64(int descriptor, const void *octets, size_t count, off_t offset)
{
    return syscall(SYS_pwrite64, descriptor, octets, granted(PWRITE64, count), offset);
}

ssize_t pwrite(int descriptor, const void *octets, size_t count, off_t offset)
{
    return pwrite64(descriptor, octets, count, offset);
}
