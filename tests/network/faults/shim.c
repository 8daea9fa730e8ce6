/* Stands before the C library of a process under test: its calendar jumps, its names cease to resolve.
 * What to do stands in a file of three 64-bit numbers, which the test changes while the process runs:
 * seconds to add to CLOCK_REALTIME; 0, or 1: no name resolves, or 2: none within 700 ms; how often the calendar was asked. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static volatile int64_t *told(void) {
    static int64_t nothing[3];
    static volatile int64_t *map;
    if (!map) {
        const char *path = getenv("RESURGE_TEST_SHIM");
        int file = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
        void *mapped = file < 0 ? MAP_FAILED : mmap(0, sizeof nothing, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
        if (file >= 0) close(file);
        map = mapped == MAP_FAILED ? nothing : mapped;
    }
    return map;
}

int clock_gettime(clockid_t id, struct timespec *at) {
    int result = (int)syscall(SYS_clock_gettime, id, at);
    if (result == 0 && id == CLOCK_REALTIME) {
        at->tv_sec += told()[0];
        told()[2]++;
    }
    return result;
}

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **found) {
    int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **) = dlsym(RTLD_NEXT, "getaddrinfo");
    if (told()[1] == 1) return EAI_NONAME;
    if (told()[1] == 2) usleep(700 * 1000);
    return real(node, service, hints, found);
}
