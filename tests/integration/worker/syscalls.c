/* Prints a line for each thing that a function should, or should not, be able to do: its name and errno, 0 for success. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void say(const char *name, long result) { printf("%s %d\n", name, result < 0 ? errno : 0); }

static void *nothing(void *argument) { return argument; }

static long bytes_of(const char *path) {
    char text[64];
    int file = open(path, O_RDONLY);
    return file < 0 ? 0 : read(file, text, sizeof text);
}

#ifdef __x86_64__
static int vsock_arguments[3] = {40, SOCK_STREAM, 0}; /* in the lower 4 GiB, as the program is static */

static void socketcall_32_bit(void) {
    long result;
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(102L), "b"(1L), "c"((long)vsock_arguments) : "memory");
    _exit(result < 0 ? (int)-result : 0);
}

/* In a process of its own, which may be killed for it: as EPERM. */
static void try_32_bit(void) {
    int status = 0;
    pid_t child = fork();
    if (child == 0) socketcall_32_bit();
    waitpid(child, &status, 0);
    errno = WIFSIGNALED(status) ? EPERM : WEXITSTATUS(status);
    say("vsock_32_bit", errno ? -1 : 0);
}
#endif

int main(void) {
    setvbuf(stdout, NULL, _IONBF, 0);
    char params[256] = {0};
    pthread_t thread;
    pid_t child;
    say("io_uring", syscall(425, 1, params));
    say("vsock", socket(40, SOCK_STREAM, 0));
#ifdef __x86_64__
    try_32_bit();
#endif
    say("alg", socket(38, SOCK_SEQPACKET, 0));
    say("namespace", syscall(SYS_unshare, 0x10000000));
    say("keys", syscall(SYS_keyctl, 0, -3, 0));
    say("clone3", syscall(435, params, 0));
    say("inet", socket(AF_INET, SOCK_STREAM, 0));
    say("inet6", socket(AF_INET6, SOCK_DGRAM, 0));
    say("unix", socket(AF_UNIX, SOCK_STREAM, 0));
    errno = pthread_create(&thread, NULL, nothing, NULL);
    say("thread", errno ? -1 : pthread_join(thread, NULL));
    child = fork();
    if (child == 0) _exit(0);
    say("child", child < 0 ? -1 : waitpid(child, NULL, 0));
    printf("slabinfo %ld\n", bytes_of("/proc/slabinfo"));
    printf("kallsyms %ld\n", bytes_of("/proc/kallsyms"));
    printf("modules %ld\n", bytes_of("/proc/modules"));
    return 0;
}
