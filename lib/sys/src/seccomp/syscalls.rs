//! System calls by name. One list for all architectures: some are only on one, and the newest, whose numbers are the
//! same everywhere, are written out, as is one that is not known for every C library.

macro_rules! table {
    ($($name:ident $([$only:literal])? $(= $number:literal)?,)*) => {
        /// Name and number, sorted by name.
        pub(super) const TABLE: &[(&str, u16)] = &[
            $($(#[cfg(target_arch = $only)])? (stringify!($name).split_at(4).1, table!(@ $name $($number)?)),)*
        ];
    };
    (@ $name:ident) => { libc::$name as u16 };
    (@ $name:ident $number:literal) => { $number };
}

table! {
    SYS_accept, SYS_accept4, SYS_access["x86_64"], SYS_acct, SYS_add_key, SYS_adjtimex, SYS_alarm["x86_64"],
    SYS_arch_prctl["x86_64"], SYS_bind, SYS_bpf, SYS_brk, SYS_cachestat = 451, SYS_capget, SYS_capset, SYS_chdir,
    SYS_chmod["x86_64"], SYS_chown["x86_64"], SYS_chroot, SYS_clock_adjtime, SYS_clock_getres, SYS_clock_gettime,
    SYS_clock_nanosleep, SYS_clock_settime, SYS_clone, SYS_clone3, SYS_close, SYS_close_range, SYS_connect,
    SYS_copy_file_range, SYS_creat["x86_64"], SYS_delete_module, SYS_dup, SYS_dup2["x86_64"], SYS_dup3,
    SYS_epoll_create["x86_64"], SYS_epoll_create1, SYS_epoll_ctl, SYS_epoll_pwait, SYS_epoll_pwait2,
    SYS_epoll_wait["x86_64"], SYS_eventfd["x86_64"], SYS_eventfd2, SYS_execve, SYS_execveat, SYS_exit, SYS_exit_group,
    SYS_faccessat, SYS_faccessat2, SYS_fadvise64, SYS_fallocate, SYS_fanotify_init, SYS_fanotify_mark, SYS_fchdir,
    SYS_fchmod, SYS_fchmodat, SYS_fchmodat2 = 452, SYS_fchown, SYS_fchownat, SYS_fcntl, SYS_fdatasync, SYS_fgetxattr,
    SYS_finit_module, SYS_flistxattr, SYS_flock, SYS_fork["x86_64"], SYS_fremovexattr, SYS_fsconfig, SYS_fsetxattr,
    SYS_fsmount, SYS_fsopen, SYS_fspick, SYS_fstat, SYS_fstatfs, SYS_fsync, SYS_ftruncate, SYS_futex,
    SYS_futex_requeue = 456, SYS_futex_wait = 455, SYS_futex_waitv, SYS_futex_wake = 454, SYS_futimesat["x86_64"],
    SYS_get_mempolicy, SYS_get_robust_list, SYS_getcpu, SYS_getcwd, SYS_getdents["x86_64"], SYS_getdents64,
    SYS_getegid, SYS_geteuid, SYS_getgid, SYS_getgroups, SYS_getitimer, SYS_getpeername, SYS_getpgid,
    SYS_getpgrp["x86_64"], SYS_getpid, SYS_getppid, SYS_getpriority, SYS_getrandom, SYS_getresgid, SYS_getresuid,
    SYS_getrlimit, SYS_getrusage, SYS_getsid, SYS_getsockname, SYS_getsockopt, SYS_gettid, SYS_gettimeofday,
    SYS_getuid, SYS_getxattr, SYS_getxattrat = 464, SYS_init_module, SYS_inotify_add_watch,
    SYS_inotify_init["x86_64"], SYS_inotify_init1, SYS_inotify_rm_watch, SYS_io_cancel, SYS_io_destroy,
    SYS_io_getevents, SYS_io_setup, SYS_io_submit, SYS_io_uring_enter, SYS_io_uring_register, SYS_io_uring_setup,
    SYS_ioctl, SYS_ioperm["x86_64"], SYS_iopl["x86_64"], SYS_ioprio_get, SYS_ioprio_set, SYS_kcmp,
    SYS_kexec_file_load["aarch64"] = 294, SYS_kexec_file_load["x86_64"], SYS_kexec_load, SYS_keyctl, SYS_kill,
    SYS_landlock_add_rule, SYS_landlock_create_ruleset, SYS_landlock_restrict_self, SYS_lchown["x86_64"], SYS_lgetxattr, SYS_link["x86_64"], SYS_linkat, SYS_listen,
    SYS_listmount = 458, SYS_listxattr, SYS_listxattrat = 465, SYS_llistxattr, SYS_lookup_dcookie, SYS_lremovexattr,
    SYS_lseek, SYS_lsetxattr, SYS_lsm_get_self_attr = 459, SYS_lsm_list_modules = 461, SYS_lsm_set_self_attr = 460,
    SYS_lstat["x86_64"], SYS_madvise, SYS_map_shadow_stack = 453, SYS_mbind, SYS_membarrier, SYS_memfd_create,
    SYS_memfd_secret, SYS_migrate_pages, SYS_mincore, SYS_mkdir["x86_64"], SYS_mkdirat, SYS_mknod["x86_64"],
    SYS_mknodat, SYS_mlock, SYS_mlock2, SYS_mlockall, SYS_mmap, SYS_modify_ldt["x86_64"], SYS_mount,
    SYS_mount_setattr, SYS_move_mount, SYS_move_pages, SYS_mprotect, SYS_mq_getsetattr, SYS_mq_notify, SYS_mq_open,
    SYS_mq_timedreceive, SYS_mq_timedsend, SYS_mq_unlink, SYS_mremap, SYS_mseal = 462, SYS_msgctl, SYS_msgget,
    SYS_msgrcv, SYS_msgsnd, SYS_msync, SYS_munlock, SYS_munlockall, SYS_munmap, SYS_name_to_handle_at, SYS_nanosleep,
    SYS_newfstatat, SYS_nfsservctl, SYS_open["x86_64"], SYS_open_by_handle_at, SYS_open_tree, SYS_openat, SYS_openat2,
    SYS_pause["x86_64"], SYS_perf_event_open, SYS_personality, SYS_pidfd_getfd, SYS_pidfd_open, SYS_pidfd_send_signal,
    SYS_pipe["x86_64"], SYS_pipe2, SYS_pivot_root, SYS_pkey_alloc, SYS_pkey_free, SYS_pkey_mprotect,
    SYS_poll["x86_64"], SYS_ppoll, SYS_prctl, SYS_pread64, SYS_preadv, SYS_preadv2, SYS_prlimit64,
    SYS_process_madvise, SYS_process_mrelease, SYS_process_vm_readv, SYS_process_vm_writev, SYS_pselect6, SYS_ptrace,
    SYS_pwrite64, SYS_pwritev, SYS_pwritev2, SYS_quotactl, SYS_quotactl_fd, SYS_read, SYS_readahead,
    SYS_readlink["x86_64"], SYS_readlinkat, SYS_readv, SYS_reboot, SYS_recvfrom, SYS_recvmmsg, SYS_recvmsg,
    SYS_remap_file_pages, SYS_removexattr, SYS_removexattrat = 466, SYS_rename["x86_64"], SYS_renameat, SYS_renameat2,
    SYS_request_key, SYS_restart_syscall, SYS_rmdir["x86_64"], SYS_rseq, SYS_rt_sigaction, SYS_rt_sigpending,
    SYS_rt_sigprocmask, SYS_rt_sigqueueinfo, SYS_rt_sigreturn, SYS_rt_sigsuspend, SYS_rt_sigtimedwait,
    SYS_rt_tgsigqueueinfo, SYS_sched_get_priority_max, SYS_sched_get_priority_min, SYS_sched_getaffinity,
    SYS_sched_getattr, SYS_sched_getparam, SYS_sched_getscheduler, SYS_sched_rr_get_interval, SYS_sched_setaffinity,
    SYS_sched_setattr, SYS_sched_setparam, SYS_sched_setscheduler, SYS_sched_yield, SYS_seccomp, SYS_select["x86_64"],
    SYS_semctl, SYS_semget, SYS_semop, SYS_semtimedop, SYS_sendfile, SYS_sendmmsg, SYS_sendmsg, SYS_sendto,
    SYS_set_mempolicy, SYS_set_mempolicy_home_node, SYS_set_robust_list, SYS_set_tid_address, SYS_setdomainname,
    SYS_setfsgid, SYS_setfsuid, SYS_setgid, SYS_setgroups, SYS_sethostname, SYS_setitimer, SYS_setns, SYS_setpgid,
    SYS_setpriority, SYS_setregid, SYS_setresgid, SYS_setresuid, SYS_setreuid, SYS_setrlimit, SYS_setsid,
    SYS_setsockopt, SYS_settimeofday, SYS_setuid, SYS_setxattr, SYS_setxattrat = 463, SYS_shmat, SYS_shmctl,
    SYS_shmdt, SYS_shmget, SYS_shutdown, SYS_sigaltstack, SYS_signalfd["x86_64"], SYS_signalfd4, SYS_socket,
    SYS_socketpair, SYS_splice, SYS_stat["x86_64"], SYS_statfs, SYS_statmount = 457, SYS_statx, SYS_swapoff,
    SYS_swapon, SYS_symlink["x86_64"], SYS_symlinkat, SYS_sync, SYS_sync_file_range, SYS_syncfs, SYS_sysfs["x86_64"],
    SYS_sysinfo, SYS_syslog, SYS_tee, SYS_tgkill, SYS_time["x86_64"], SYS_timer_create, SYS_timer_delete,
    SYS_timer_getoverrun, SYS_timer_gettime, SYS_timer_settime, SYS_timerfd_create, SYS_timerfd_gettime,
    SYS_timerfd_settime, SYS_times, SYS_tkill, SYS_truncate, SYS_umask, SYS_umount2, SYS_uname, SYS_unlink["x86_64"],
    SYS_unlinkat, SYS_unshare, SYS_uselib["x86_64"], SYS_userfaultfd, SYS_ustat["x86_64"], SYS_utime["x86_64"],
    SYS_utimensat, SYS_utimes["x86_64"], SYS_vfork["x86_64"], SYS_vhangup, SYS_vmsplice, SYS_wait4, SYS_waitid,
    SYS_write, SYS_writev,
}
