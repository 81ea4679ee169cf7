// SPDX-License-Identifier: MIT
// spawn PROGRAM ARG…: executes a program that ends up in tiny, and prints the nanoseconds from just before vfork to tiny's first
// instruction. It is in C because what Go does around a fork would count as the program's time.
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv) {
  int p[2], status;
  struct timespec begin, there;
  if (argc < 2 || pipe2(p, O_CLOEXEC))
    return 2;
  alarm(30);
  clock_gettime(CLOCK_MONOTONIC, &begin);
  pid_t pid = vfork();
  if (pid == 0) {
    dup2(p[1], 1);
    execv(argv[1], argv + 1);
    _exit(127);
  }
  close(p[1]);
  if (pid < 0 || read(p[0], &there, sizeof there) != sizeof there)
    return 3;
  if (waitpid(pid, &status, 0) != pid || status != 0)
    return 4;
  printf("%lld\n", (there.tv_sec - begin.tv_sec) * 1000000000LL + there.tv_nsec - begin.tv_nsec);
  return 0;
}
