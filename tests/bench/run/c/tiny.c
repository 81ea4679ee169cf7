// SPDX-License-Identifier: MIT
// tiny: writes the time at which it has got control (struct timespec, CLOCK_MONOTONIC) to its standard output and ends; with an
// argument it stays. It has no libc, so that what is measured is the way to it.

#if defined(__x86_64__)
enum { sys_write = 1, sys_exit = 60, sys_clock_gettime = 228, sys_ppoll = 271 };
__asm__(".globl _start\n_start:\n xor %ebp, %ebp\n mov %rsp, %rdi\n and $-16, %rsp\n call begin\n");
static long call(long n, long a, long b, long c, long d) {
  long r;
  register long r10 __asm__("r10") = d;
  __asm__ volatile("syscall" : "=a"(r) : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10) : "rcx", "r11", "memory");
  return r;
}
#elif defined(__aarch64__)
enum { sys_write = 64, sys_exit = 93, sys_clock_gettime = 113, sys_ppoll = 73 };
__asm__(".globl _start\n_start:\n mov x29, xzr\n mov x0, sp\n bl begin\n");
static long call(long n, long a, long b, long c, long d) {
  register long x8 __asm__("x8") = n;
  register long x0 __asm__("x0") = a;
  register long x1 __asm__("x1") = b;
  register long x2 __asm__("x2") = c;
  register long x3 __asm__("x3") = d;
  __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3) : "memory");
  return x0;
}
#else
#error "the benchmark does not know this architecture"
#endif

__attribute__((used)) void begin(long *stack) {
  long now[2];
  call(sys_clock_gettime, 1, (long)now, 0, 0);
  call(sys_write, 1, (long)now, sizeof now, 0);
  while (stack[0] > 1)
    call(sys_ppoll, 0, 0, 0, 0);
  call(sys_exit, 0, 0, 0, 0);
}
